"""Long work on the event loop, done in stretches: between two of them everybody else has a turn.

For loops over what a client or a database sent, of which there may be thousands. What waits anyhow needs none of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

# Seconds. A request comes and goes within a few turns of the loop, each of which may wait for one stretch; a turn costs some 20
# microseconds, so this loses a hundredth.
STRETCH = 0.002


async def in_stretches(
    items: Iterable[Item], *, seconds: float = STRETCH, now: Callable[[], float] = time.perf_counter
) -> AsyncIterator[Item]:
    """The items in their order. Others have a turn after each item whose end comes `seconds` or more after the last turn."""
    end = now() + seconds
    for item in items:
        yield item
        if now() >= end:
            await asyncio.sleep(0)
            end = now() + seconds
