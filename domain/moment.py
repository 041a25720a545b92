"""Moments of the log: what one may ask about the past by. A position, or a time as RFC 3339 writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from domain.errors import JobledgerError

# A position (right after that event; 0 is before the first), or a time (after all that was recorded by then).
Moment = int | datetime

ALLOWED = "a position of the log (digits), or a time with its offset (RFC 3339), such as 2026-01-27T10:30:00Z"
MAX_POSITION = 2**63 - 1  # what the log's positions can hold

_POSITION = re.compile(r"[0-9]+")
# RFC 3339, section 5.6. A blank may stand for the T (its note), and for the + of the offset: in the query of a URL a bare
# plus sign means a blank, and whoever forgets to escape it can have meant nothing else.
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
    r"(?:\.(?P<fraction>[0-9]+))?(?P<offset>[Zz]|[+ -](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


class InvalidMoment(JobledgerError):
    """A text that names no moment of the log."""

    code = "invalid_moment"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:64]!a} is no moment: wanted is {ALLOWED}")
        self.text = text


class BeyondHead(JobledgerError):
    """The moment lies beyond what the log knows: a position after its newest event, or a time that is yet to come."""

    code = "beyond_head"

    def __init__(self, moment: Moment, *, position: int, now: datetime) -> None:
        limit = f"it ends at position {position}" if isinstance(moment, int) else f"its clock says {timestamp(now)}"
        super().__init__(f"the log does not reach {moment_text(moment)}: {limit}")
        self.moment = moment
        self.position = position
        self.now = now


class BeforeCreation(JobledgerError):
    """At that moment the job was not there yet."""

    code = "before_creation"

    def __init__(self, job_id: str, moment: Moment, *, position: int, created_at: datetime) -> None:
        super().__init__(
            f"job {job_id} was not there yet at {moment_text(moment)}:"
            f" it was created at {timestamp(created_at)}, position {position}"
        )
        self.job_id = job_id
        self.moment = moment
        self.position = position
        self.created_at = created_at


def parse_position(text: str) -> int:
    """A position, 0 included. One that is larger than any can be is MAX_POSITION. Raises InvalidMoment."""
    if not _POSITION.fullmatch(text):
        raise InvalidMoment(text)
    digits = text.lstrip("0")[:20]  # Python refuses to read thousands of digits
    return min(int(digits or "0"), MAX_POSITION)


def parse_moment(text: str) -> Moment:
    """The moment that a text names: digits are a position, anything else must be a time. Raises InvalidMoment.

    A time comes back in UTC, cut to the microsecond; a leap second is the last microsecond of its minute.
    """
    if _POSITION.fullmatch(text):
        return parse_position(text)
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidMoment(text)
    second, fraction = found["second"], (found["fraction"] or "0")[:6].ljust(6, "0")
    if second == "60":
        second, fraction = "59", "999999"
    offset = "+00:00" if found["offset"] in "Zz" else found["offset"].replace(" ", "+")
    try:
        at = datetime.fromisoformat(f"{found['date']}T{found['minute']}:{second}.{fraction}{offset}")
    except ValueError as exc:  # no such day
        raise InvalidMoment(text) from exc
    try:
        return at.astimezone(UTC)
    except OverflowError:  # its offset carries it out of the years 1 to 9999
        return datetime.min.replace(tzinfo=UTC) if at.year == 1 else datetime.max.replace(tzinfo=UTC)


def moment_text(moment: Moment) -> str:
    """Such as "position 17", or "2026-01-27T10:30:00.000Z"."""
    return f"position {moment}" if isinstance(moment, int) else timestamp(moment)


def timestamp(at: datetime) -> str:
    """A time with its zone as the service writes it, such as 2026-01-27T10:30:00.000Z: the log keeps milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
