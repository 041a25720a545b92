"""The query of `GET /events` and `GET /jobs/{id}/events`: after which position, and which events."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from msgspec import Struct

from commands.follow_log import LoggedEvent
from domain.events import EVENT_TYPES
from domain.moment import InvalidMoment, parse_position
from entrypoints.api.models import FieldError
from entrypoints.api.problems import INVALID_QUERY, Problem

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class EventQuery(Struct, frozen=True):
    """`after`: None where the client does not say. Empty sets stand for whichever."""

    after: int | None = None
    types: frozenset[str] = frozenset()
    job_types: frozenset[str] = frozenset()
    limit: int = DEFAULT_LIMIT

    def wants(self, event: LoggedEvent) -> bool:
        """Whether the event is among those that are asked for."""
        return (not self.types or event.type in self.types) and (not self.job_types or event.job_type in self.job_types)


def read_event_query(query: bytes, headers: Mapping[bytes, bytes], *, of_job: bool) -> EventQuery:
    """Read it. `Last-Event-ID` counts more than `after`: a client that resumes asks for the address of its beginning again.

    Of one job neither `jobType` nor `limit` can be asked. Raises Problem, which says what is allowed.
    """
    allowed = ["after", "type"] if of_job else ["after", "type", "jobType", "limit"]
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in allowed:
            raise _refused(name[:80], "is no parameter here", allowed=allowed)
        if name in given:
            raise _refused(name, "must be given once; several values are separated by commas")
        given[name] = value
    after = _position("after", given["after"]) if "after" in given else None
    if b"last-event-id" in headers:
        after = _position("Last-Event-ID", headers[b"last-event-id"].decode("latin-1").strip())
    return EventQuery(
        after,
        _event_types(given["type"]) if "type" in given else frozenset(),
        _job_types(given["jobType"]) if "jobType" in given else frozenset(),
        _limit(given["limit"]) if "limit" in given else DEFAULT_LIMIT,
    )


def _position(name: str, text: str) -> int:
    try:
        return parse_position(text)
    except InvalidMoment as exc:
        raise _refused(name, f"must be a position of the log, but is {ascii(text)[:80]}") from exc


def _event_types(text: str) -> frozenset[str]:
    wanted = frozenset(text.split(","))
    if not wanted <= EVENT_TYPES.keys():
        allowed = list(EVENT_TYPES)
        raise _refused("type", f"must be some of {', '.join(allowed)}, but is {ascii(text)[:80]}", allowed=allowed)
    return wanted


def _job_types(text: str) -> frozenset[str]:
    wanted = frozenset(text.split(","))
    if "" in wanted:
        raise _refused("jobType", "must be names of job types")
    return wanted


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        raise _refused("limit", f"must be a number from 1 to {MAX_LIMIT}, but is {ascii(text)[:80]}")
    return int(text)


def _refused(name: str, detail: str, *, allowed: list[str] | None = None) -> Problem:
    error = FieldError(name, detail) if allowed is None else FieldError(name, detail, allowed=allowed)
    return Problem(INVALID_QUERY, f"{name} {detail}", errors=[error])
