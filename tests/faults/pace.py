"""When the clients of a load may ask for the next jobs, and when they are to stop."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """One for all clients. `rate`: jobs a second of all together; None: as fast as they are answered."""

    def __init__(self, rate: float | None) -> None:
        self._seconds = None if rate is None else 1 / rate  # for each job
        self._next_at = 0.0
        self._left: int | None = None  # jobs that may still be asked for
        self._stopping = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def begin(self, jobs: int | None) -> None:
        """From now on, so many jobs (a batch may go beyond); None: until `stop`."""
        self._stopping.clear()
        self._left = jobs
        self._next_at = time.monotonic()

    def stop(self) -> None:
        """Nobody is to ask for more."""
        self._stopping.set()

    async def turn(self, jobs: int) -> bool:
        """Wait until so many jobs may be asked for at once; False when none are wanted any more."""
        if self.is_stopping or (self._left is not None and self._left <= 0):
            return False
        if self._left is not None:
            self._left -= jobs
        if self._seconds is not None:
            now = time.monotonic()
            at = max(self._next_at, now - 1.0)
            self._next_at = at + jobs * self._seconds
            await self.pause(at - now)
        return not self.is_stopping

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds, or when it is time to stop."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                return
