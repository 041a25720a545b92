"""Keeps a projection at the head of the log: fold pages while there are any, then wait for a wake-up or the next poll."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from domain.errors import LogDamaged, UnknownEventType

# A listening connection can die in silence, so a runner also polls: soon after work, then ever more slowly.
POLL_FIRST = 0.05  # seconds
POLL_MOST = 0.25  # seconds

# Seconds from a wake-up until the table is brought up to date: at least, at most, and for each event of the last page. Who asks
# for a single job is told of what lies beyond the table; to fold each event as it comes would take the CPU from the processes
# that its job waits for. Under load all three events of most jobs lie in one page, and their row is written once.
GATHER_LEAST = 0.01
GATHER_MOST = 0.1
GATHER_PER_EVENT = 0.0005


class FoldedPage(Struct, frozen=True):
    """What one step did. `rows` below `after - before` means that nothing was done: the log has a gap there."""

    before: int
    after: int
    rows: int
    is_full: bool = False  # as many rows as a page may have: more may wait
    unknown_type: str | None = None
    unknown_position: int | None = None


class Projection(Protocol):
    """A table made from the log, with a checkpoint that moves together with its rows."""

    async def fold_page(self) -> FoldedPage | None:
        """Fold the next page; None while another process holds the checkpoint. Raises Unavailable."""


class Runner:
    """Takes one projection along the log, step by step. `pause`: seconds between two steps at the head of the log, at least."""

    def __init__(self, *, projection: Projection, pause: float = POLL_FIRST) -> None:
        self._projection = projection
        self._least = pause
        self._most = max(pause, POLL_MOST)
        self._pause = pause
        self.position: int | None = None  # up to which this process has folded; None: another one does
        self.events = 0  # folded by this process so far
        self._page_events = 0  # in the last page that had any

    @property
    def gather(self) -> float:
        """Seconds from a wake-up until the next step: the longer, the more the last page held."""
        return min(GATHER_MOST, GATHER_LEAST + self._page_events * GATHER_PER_EVENT)

    async def step(self) -> float:
        """Fold one page; answers the seconds to wait for a wake-up before the next step.

        Raises Unavailable; LogDamaged for a gap and UnknownEventType for an event of a newer release: a person must look.
        """
        page = await self._projection.fold_page()
        self.position = None if page is None else page.after
        if page is not None and went_on(page):
            self.events += page.rows
            self._page_events = page.rows
            self._pause = self._least
            return 0.0 if page.is_full else self._least
        pause = self._pause
        self._pause = min(pause * 2, self._most)
        return pause


def went_on(page: FoldedPage) -> bool:
    """Whether there was anything to fold. Raises LogDamaged, UnknownEventType."""
    if page.rows != page.after - page.before:
        raise LogDamaged(f"the log has a gap between position {page.before} and {page.after}")
    if page.rows:
        return True
    if page.unknown_position is not None:
        raise UnknownEventType(page.unknown_type or "", page.unknown_position)
    return False
