"""Waiting in tests: for a condition, never for a time; when it does not come, say what was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_SECONDS = 0.01  # between two looks


async def until(
    holds: Callable[[], bool | Awaitable[bool]], *, within: float = 30, saw: Callable[[], object] | None = None
) -> None:
    """Return as soon as `holds` (plain or async) is true. Raises AssertionError with what was seen after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        held = holds()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < deadline, _never(within, saw)
        await asyncio.sleep(_LOOK_SECONDS)


def until_now(holds: Callable[[], bool], *, within: float = 30, saw: Callable[[], object] | None = None) -> None:
    """The same for tests that are plain functions."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, _never(within, saw)
        time.sleep(_LOOK_SECONDS)


def _never(within: float, saw: Callable[[], object] | None) -> str:
    return f"did not hold within {within} s" + ("" if saw is None else f"; saw: {saw()!r}")
