"""How the loops of dispatcher and projector go on and on: one step after another, through outages, until they are stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from commands.outages import Outages
from commands.ports import Unavailable

# Seconds before the next try: a random part of what doubles from try to try, so that processes do not try in step.
_PAUSES = wait_random_exponential(multiplier=0.1, max=2.0, min=0.02)


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row, 1 or more."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = failures
    return _PAUSES(state)


async def repeat(
    step: Callable[[], Awaitable[float]],
    *,
    what: str,
    stop: asyncio.Event,
    outages: Outages,
    wait: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Do `step` again and again until `stop` is set; it answers the seconds to wait before the next one.

    Unavailable is waited out, and told to `outages` as is its end; anything else is raised. `wait` may return sooner than the
    time that it is given; it must not outlast it, so that a stop is noticed.
    """
    failures = 0
    while not stop.is_set():
        try:
            pause = await step()
        except Unavailable as exc:
            outages.failed(exc, doing=what)
            failures += 1
            await sleep_unless(stop, pause_after(failures))
            continue
        failures = 0
        outages.succeeded(doing=what)
        if pause > 0:
            await (sleep_unless(stop, pause) if wait is None else wait(pause))


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Return after `seconds`, or as soon as `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
