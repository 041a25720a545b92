"""The query of `GET /jobs/{id}`: what else is wanted, and as of when."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl

from msgspec import Struct

from domain.moment import ALLOWED, InvalidMoment, Moment, parse_moment
from entrypoints.api.models import FieldError
from entrypoints.api.problems import INVALID_QUERY, Problem


class JobQuery(Struct, frozen=True):
    """`as_of`: None for the job as it is now."""

    with_payload: bool = False
    as_of: Moment | None = None


def read_job_query(query: bytes) -> JobQuery:
    """Read it; parameters that mean nothing here are passed over. Raises Problem, which says what is allowed."""
    if not query:
        return _PLAIN
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    included = {name for key, value in given if key == "include" for name in value.split(",")}
    moments = [value for key, value in given if key == "asOf"]
    return JobQuery(_includes_payload(included), _moment(moments) if moments else None)


_PLAIN = JobQuery()


def _includes_payload(wanted: Collection[str]) -> bool:
    if not set(wanted) <= {"payload"}:
        detail = f"must be payload, but is {ascii(','.join(sorted(wanted)))[:80]}"
        raise Problem(INVALID_QUERY, f"include {detail}", errors=[FieldError("include", detail, allowed=["payload"])])
    return bool(wanted)


def _moment(texts: list[str]) -> Moment:
    if len(texts) > 1:
        detail = "must be given once"
        raise Problem(INVALID_QUERY, f"asOf {detail}", errors=[FieldError("asOf", detail)])
    try:
        return parse_moment(texts[0])
    except InvalidMoment as exc:
        detail = f"must be {ALLOWED}, but is {ascii(texts[0])[:80]}"
        raise Problem(INVALID_QUERY, f"asOf {detail}", errors=[FieldError("asOf", detail)]) from exc
