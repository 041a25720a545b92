"""How the loops of dispatcher and projector go on and on: one step after another, through outages, until they are stopped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from commands.ports import Unavailable

_log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.1  # seconds before the first new try after an outage began; doubled from try to try
LONGEST_PAUSE = 2.0  # seconds; of each pause a random half is left out, so that processes do not try in step


async def repeat(
    step: Callable[[], Awaitable[float]],
    *,
    what: str,
    stop: asyncio.Event,
    wait: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Do `step` again and again until `stop` is set; it answers the seconds to wait before the next one.

    Unavailable is waited out, with one log line when the outage begins and one when it ends; anything else is raised. `wait`
    may return sooner than the time that it is given; it must not outlast it, so that a stop is noticed.
    """
    outage = 0.0
    while not stop.is_set():
        try:
            pause = await step()
        except Unavailable as exc:
            if not outage:
                _log.warning(f"cannot {what}, trying again", error=str(exc))
            outage = min(outage * 2, LONGEST_PAUSE) or FIRST_PAUSE
            await sleep_unless(stop, outage * random.uniform(0.5, 1.0))
            continue
        if outage:
            outage = 0.0
            _log.info(f"can {what} again")
        if pause > 0:
            await (sleep_unless(stop, pause) if wait is None else wait(pause))


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Return after `seconds`, or as soon as `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
