"""The event loop of one simulated process: it runs only when told to, and its clock stands until somebody moves it.

Nothing in it does I/O: whatever would is a call that waits at a gate. So the same draws give the same run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

Arguments = TypeVarTuple("Arguments")

_MOST_TURNS = 2_000  # of the loop, until everything in it waits: far more is a loop without end


class Clock:
    """The time of all simulated processes, and of their database: whole milliseconds."""

    def __init__(self) -> None:
        self.milliseconds = 1_000_000

    @property
    def seconds(self) -> float:
        return self.milliseconds / 1000


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs between two calls of `rest` not at all."""

    def __init__(self, clock: Clock) -> None:
        self._shared_clock = clock
        self._asked_for = 0
        super().__init__()

    def time(self) -> float:
        return self._shared_clock.seconds

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self._asked_for += 1
        return super().call_soon(callback, *args, context=context)

    def rest(self) -> None:
        """Run, timers that are due included, until all that is left to do waits for time or for an answer."""
        for _ in range(_MOST_TURNS):
            super().call_soon(self.stop)
            before = self._asked_for
            self.run_forever()
            if self._asked_for == before:
                return
        raise AssertionError("a process never comes to rest: a hot loop")
