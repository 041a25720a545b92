"""The header Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header): parsed here, decided inside the append."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entrypoints.api.models import FieldError
from entrypoints.api.problems import INVALID_KEY, Problem

MAX_LENGTH = 255  # characters; room for any UUID or hash, and short enough for an index entry

# A string of RFC 9651, section 3.3.3, as the draft has it; or bare, as most clients send it.
_QUOTED = re.compile(rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")  # visible, but none of " , ; and backslash


def read_idempotency_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key, or None if there is no such header. `"abc"` and `abc` are one key. Raises Problem 400 for anything else."""
    values = [value.strip() for name, value in headers if name == b"idempotency-key"]
    if not values:
        return None
    if len(values) > 1:
        raise _invalid("is given more than once")
    if quoted := _QUOTED.fullmatch(values[0]):
        key = re.sub(rb"\\(.)", rb"\1", quoted[1])
    elif _BARE.fullmatch(values[0]):
        key = values[0]
    else:
        raise _invalid('must be a string in double quotes, such as "8e03978e-40d5-43dd-bc93-6894a57f9324"')
    if not 1 <= len(key) <= MAX_LENGTH:
        raise _invalid(f"must have 1 to {MAX_LENGTH} characters, but has {len(key)}")
    return key.decode("ascii")


def _invalid(detail: str) -> Problem:
    return Problem(INVALID_KEY, f"Idempotency-Key {detail}", errors=[FieldError("Idempotency-Key", detail)])
