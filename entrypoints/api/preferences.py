"""What a client prefers (RFC 7240): here, that an answer waits for the job's end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable
from typing import TypeVar

from litestar.types import Receive

from entrypoints.api.answers import Header

MAX_WAIT = 60  # seconds; proxies in between rarely wait for longer
_WAIT = re.compile(rb'(?:^|,)[ \t]*wait[ \t]*=[ \t]*(?:"(\d{1,9})"|(\d{1,9}))[ \t]*(?=[;,]|$)', re.IGNORECASE)
_T = TypeVar("_T")


def wanted_wait(headers: Iterable[Header]) -> int | None:
    """The seconds of `Prefer: wait=`, MAX_WAIT at most; None where there is none. What is not understood is passed over, as
    the RFC wants it; of several the first counts."""
    preferred = [value for name, value in headers if name == b"prefer"]
    if not preferred:
        return None
    found = _WAIT.search(b",".join(preferred))
    seconds = int(found[1] or found[2]) if found else 0
    return min(seconds, MAX_WAIT) or None


def applied(seconds: int) -> Header:
    """The header that says so."""
    return b"preference-applied", b"wait=%d" % seconds


async def unless_gone(receive: Receive, waiting: Coroutine[object, object, _T]) -> _T | None:
    """What is waited for, or None as soon as the client has gone, who then gets no answer. The request's body must have been
    read."""
    wait = asyncio.create_task(waiting)
    gone = asyncio.create_task(until_gone(receive))
    try:
        await asyncio.wait((wait, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not wait.done():
            wait.cancel()
    return None if wait.cancelled() or not wait.done() else wait.result()


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
