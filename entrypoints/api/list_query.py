"""The query of `GET /jobs`: which jobs, how many a page, and where it begins."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from commands.list_jobs import JobFilter
from domain.errors import InvalidJobId
from domain.events import PRIORITIES
from domain.ids import parse_job_id
from domain.job import STATUSES
from domain.moment import InvalidMoment, parse_moment
from domain.tags import MAX_TAG_LENGTH, InvalidTags, checked_tags
from entrypoints.api.models import FieldError
from entrypoints.api.problems import INVALID_QUERY, Problem

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

_TIME = "a time with its offset (RFC 3339), such as 2026-01-27T10:30:00Z"


class ListQuery(Struct, frozen=True):
    """`given`: the parameters as they came, for the link to the next page."""

    wanted: JobFilter
    limit: int
    cursor: str | None
    given: dict[str, str]

    def path_of(self, cursor: str) -> str:
        """The path of the page that begins there, with the same filters."""
        return "/jobs?" + urlencode({**self.given, "cursor": cursor})


def read_list_query(query: bytes) -> ListQuery:
    """Read it. Unlike elsewhere a parameter that means nothing here is refused: a filter with a slip in its name would show
    all jobs. Raises Problem, which says what is allowed."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in _READERS:
            raise _refused(name[:80], "is no parameter here", allowed=list(_READERS))
        if name in given:
            raise _refused(name, "must be given once")
        given[name] = value
    values = {name: _READERS[name](name, value) for name, value in given.items()}
    return ListQuery(
        JobFilter(
            status=values.get("status"),
            type=values.get("type"),
            priority=values.get("priority"),
            tag=values.get("tag"),
            created_after=values.get("createdAfter"),
            created_before=values.get("createdBefore"),
        ),
        values.get("limit", DEFAULT_LIMIT),
        values.get("cursor"),
        given,
    )


def _one_of(*allowed: str) -> Any:
    def read(name: str, value: str) -> str:
        if value not in allowed:
            raise _refused(
                name, f"must be one of {', '.join(allowed)}, but is {ascii(value)[:80]}", allowed=list(allowed)
            )
        return value

    return read


def _text(name: str, value: str) -> str:
    if not value or "\0" in value:
        raise _refused(name, "must be the name of a job type")
    return value


def _tag(name: str, value: str) -> str:
    try:
        return checked_tags([value])[0]
    except InvalidTags as exc:
        raise _refused(name, f"must be a tag of 1 to {MAX_TAG_LENGTH} characters, none a control character") from exc


def _time(name: str, value: str) -> datetime:
    try:
        moment = parse_moment(value)
    except InvalidMoment:
        moment = 0
    if isinstance(moment, int):
        raise _refused(name, f"must be {_TIME}, but is {ascii(value)[:80]}")
    return moment


def _limit(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_LIMIT)) and 1 <= int(value) <= MAX_LIMIT):
        raise _refused(name, f"must be a number from 1 to {MAX_LIMIT}, but is {ascii(value)[:80]}")
    return int(value)


def _cursor(name: str, value: str) -> str:
    try:
        return parse_job_id(value)
    except InvalidJobId as exc:
        raise _refused(name, "must be as it stands in the `next` of a page") from exc


_READERS = {
    "status": _one_of(*STATUSES),
    "type": _text,
    "priority": _one_of(*PRIORITIES),
    "tag": _tag,
    "createdAfter": _time,
    "createdBefore": _time,
    "limit": _limit,
    "cursor": _cursor,
}


def _refused(name: str, detail: str, *, allowed: list[str] | None = None) -> Problem:
    error = FieldError(name, detail) if allowed is None else FieldError(name, detail, allowed=allowed)
    return Problem(INVALID_QUERY, f"{name} {detail}", errors=[error])
