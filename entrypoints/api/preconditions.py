"""A job's version in HTTP: `ETag` says it, `If-Match` asks for it (RFC 9110, sections 8.8.3 and 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entrypoints.api.answers import Header
from entrypoints.api.models import FieldError
from entrypoints.api.problems import INVALID_IF_MATCH, Problem

_TAG = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rb"[ \t]*(?:" + _TAG + rb")(?:[ \t]*,[ \t]*(?:" + _TAG + rb"))*[ \t]*")
# Ours, as we give it. Another one is no job's, and a weak one matches nothing (section 13.1.1).
_OURS = re.compile(rb'(?<!W/)"([1-9][0-9]{0,9})"')


def etag(version: int) -> Header:
    """The header for a job at that version."""
    return (b"etag", b'"%d"' % version)


def read_if_match(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[int] | None:
    """The versions that `If-Match` names; None where there is no such header, or a `*`. Raises Problem 400."""
    given = b",".join(value for name, value in headers if name == b"if-match")
    if not given or given.strip() == b"*":
        return None
    if not _LIST.fullmatch(given):
        detail = 'must be * or entity tags, such as "3", the ETag of the job'
        raise Problem(INVALID_IF_MATCH, f"If-Match {detail}", errors=[FieldError("If-Match", detail)])
    return frozenset(int(version) for version in _OURS.findall(given))
