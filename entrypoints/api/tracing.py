"""Which trace a request belongs to: the one that its `traceparent` names, or a new one. Answers say it in `traceresponse`.

The same on all of a request: a batch of jobs is one trace.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from domain.trace import read_traceparent
from entrypoints.api.answers import Header

_draw = random.Random().getrandbits  # seeded by the operating system; a trace id is no secret, and must cost little


def trace_of(headers: Iterable[Header]) -> str:
    """The trace id of a request with these headers."""
    given = [value for name, value in headers if name == b"traceparent"]
    found = read_traceparent(given[0]) if len(given) == 1 else None
    return found or new_trace()


def new_trace() -> str:
    """The id of a trace that begins here."""
    return f"{_draw(128) or 1:032x}"


def trace_response(trace: str) -> Header:
    """The header of the answer (W3C Trace Context, level 2): the trace, and an id of what was done here in it."""
    return (b"traceresponse", f"00-{trace}-{_draw(64) or 1:016x}-00".encode("ascii"))
