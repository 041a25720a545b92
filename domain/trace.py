"""Trace ids, as W3C Trace Context has them: 32 hexadecimal digits that a request brings along, or is given here.

https://www.w3.org/TR/trace-context/. A caller's `traceparent` is read strictly: what is not exactly one is as if there were none,
since an id that only looks right would join what does not belong together.
"""

from __future__ import annotations

import re

# Of version 00, which has these four parts and no more. A later version may go on after a further "-".
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


def read_traceparent(value: bytes) -> str | None:
    """The trace id of a `traceparent` header, or None if it is invalid."""
    parts = _TRACEPARENT.fullmatch(value)
    if parts is None:
        return None
    version, trace, parent, _flags, more = parts.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace == b"0" * 32 or parent == b"0" * 16:
        return None
    return trace.decode("ascii")
