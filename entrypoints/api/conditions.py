"""Conditional requests and ranges (RFC 9110, sections 13 and 14): what a request's headers ask of what there is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

_ETAGS = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(rb"bytes=(?:[ \t]*)(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))(?:[ \t]*)", re.IGNORECASE)


class Current(Struct, frozen=True):
    """What there is: a strong entity tag with its quotes, and when it was last changed, if that is known (whole seconds)."""

    etag: bytes
    size: int
    modified: datetime | None = None


class Unsatisfiable(Exception):
    """The range lies beyond the end."""


def precondition(headers: Mapping[bytes, bytes], current: Current) -> int:
    """200: go on; 304: the client has it; 412: it is not what the client wants. In the order of section 13.2.2."""
    if (wanted := headers.get(b"if-match")) is not None:
        if not _names(wanted, current.etag, strong=True):
            return 412
    elif (since := _date(headers.get(b"if-unmodified-since"))) and current.modified and current.modified > since:
        return 412
    if (had := headers.get(b"if-none-match")) is not None:
        return 304 if _names(had, current.etag, strong=False) else 200
    if (since := _date(headers.get(b"if-modified-since"))) and current.modified and current.modified <= since:
        return 304
    return 200


def wanted_range(headers: Mapping[bytes, bytes], current: Current) -> tuple[int, int] | None:
    """The first byte and the one after the last; None: all of it, also where the header asks for what is not understood here.

    Several ranges at once are among that. Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(headers.get(b"range", b""))
    if found is None or not _is_still(headers.get(b"if-range"), current):
        return None
    if found[3] is not None:
        count = min(int(found[3]), current.size)
        if count == 0:
            raise Unsatisfiable
        return current.size - count, current.size
    begin = int(found[1])
    if found[2] is not None and int(found[2]) < begin:
        return None
    if begin >= current.size:
        raise Unsatisfiable
    return begin, current.size if found[2] is None else min(int(found[2]) + 1, current.size)


def _is_still(if_range: bytes | None, current: Current) -> bool:
    if if_range is None:
        return True
    if if_range.lstrip().startswith((b'"', b"W/")):
        return if_range.strip() == current.etag
    # A date is no strong validator: the file may have changed twice within its second.
    return False


def _names(field: bytes, etag: bytes, *, strong: bool) -> bool:
    if field.strip() == b"*":
        return True
    return any(tag == etag and not (strong and weak) for weak, tag in _ETAGS.findall(field))


def _date(field: bytes | None) -> datetime | None:
    if field is None:
        return None
    try:
        at = parsedate_to_datetime(field.decode("latin-1"))
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
