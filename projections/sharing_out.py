"""Many pieces of work for a few connections, each of which takes the next piece when it is done with one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

Taker = TypeVar("Taker")
Item = TypeVar("Item")


async def share_out(
    items: Iterable[Item], takers: Sequence[Taker], work: Callable[[Taker, Item], Awaitable[None]]
) -> None:
    """Do `work` once for each item, one at a time for each taker. Raises what one of them raises; none works any more then."""
    left = iter(items)  # one for all

    async def take(taker: Taker) -> None:
        for item in left:
            await work(taker, item)

    tasks = [asyncio.create_task(take(taker)) for taker in takers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        # Their statements are cancelled, too, and are over before anything else goes on.
        await asyncio.gather(*tasks, return_exceptions=True)
