"""How far the readers of the log are, what waits for longest, and who works: what a monitoring system asks again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class ReaderStanding(Struct, frozen=True):
    """How far one reader of the log is. `age`: seconds since the oldest event that it has not read; 0 at the head."""

    position: int
    age: float


class Standing(Struct, frozen=True):
    """One look at one moment."""

    head: int  # position of the newest event
    readers: Mapping[str, ReaderStanding]  # "dispatcher", and each projection by name
    oldest: Mapping[
        str, float
    ]  # seconds for which the job that was queued first waits, by priority; none: nothing waits
    workers: Mapping[str, int]  # registered ones by where they claim: "streams", "jobs" or "nowhere"


class StandingReader(Protocol):
    """Looks at it."""

    async def read(self, *, relayed: int = 0) -> Standing:
        """The standing now. `relayed`: how far the caller knows the queue to be, if it does. Raises Unavailable."""
