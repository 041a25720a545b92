"""How long a new job may wait before its first attempt: what a `delay` and a `runAt` may be. No clock: when it is over, the
database's says.

The bounds keep a mistake from becoming an event that nobody can take back: a wait that is no number, or a time that some reader
of the log cannot hold, would stand in its way for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.errors import JobledgerError

LONGEST_DELAY = timedelta(days=3_653)  # ten years, whichever leap years lie in them
# Well inside what each reader can hold, in any time zone: PostgreSQL's times reach further than Python's.
EARLIEST_RUN_AT = datetime(1970, 1, 2, tzinfo=UTC)
LATEST_RUN_AT = datetime(9998, 12, 31, tzinfo=UTC)


class InvalidWait(JobledgerError):
    """A new job was to wait for a time that cannot be waited for. `field` is `delay` or `run_at`."""

    code = "invalid_wait"

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {value}: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


def checked_wait(*, delay: float | None, run_at: datetime | None) -> tuple[float | None, datetime | None]:
    """The two as an event keeps them: whole milliseconds, as the log's clock knows no finer ones; a time in UTC.

    Raises InvalidWait, also where both are given.
    """
    if delay is not None and run_at is not None:
        raise InvalidWait("run_at", run_at.isoformat(), "a job has a delay or a time to run at, not both")
    return (
        None if delay is None else _checked_delay(delay),
        None if run_at is None else _checked_run_at(run_at),
    )


def _checked_delay(seconds: float) -> float:
    longest = LONGEST_DELAY.total_seconds()
    if not 0 <= seconds <= longest:  # nor is anything true of NaN
        raise InvalidWait("delay", seconds, f"seconds from 0 to {longest:.0f} (ten years) are allowed")
    return round(abs(seconds), 3)  # -0.0 too is 0.0


def _checked_run_at(at: datetime) -> datetime:
    if at.tzinfo is None or at.utcoffset() is None:
        raise InvalidWait("run_at", at.isoformat(), "a time with its offset from UTC is needed")
    if not EARLIEST_RUN_AT <= at <= LATEST_RUN_AT:
        allowed = f"times from {EARLIEST_RUN_AT:%Y-%m-%d} to {LATEST_RUN_AT:%Y-%m-%d} are allowed"
        raise InvalidWait("run_at", at.isoformat(), allowed)
    return at.astimezone(UTC)
