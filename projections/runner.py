"""Keeps a projection at the head of the log: fold pages while there are any, then wait for a wake-up or the next poll."""

from __future__ import annotations

import asyncio
from typing import Protocol

from msgspec import Struct

from commands.ports import LogDamaged, Unavailable
from domain.errors import UnknownEventType

# A listening connection can die in silence, so a runner also polls: quickly after work, then ever more slowly.
POLL_FIRST = 0.01  # seconds
POLL_MOST = 0.25  # seconds


class FoldedPage(Struct, frozen=True):
    """What one step did. `rows` below `after - before` means that nothing was done: the log has a gap there."""

    before: int
    after: int
    rows: int
    unknown_type: str | None = None
    unknown_position: int | None = None


class Projection(Protocol):
    """A table made from the log, with a checkpoint that moves together with its rows."""

    async def fold_page(self) -> FoldedPage | None:
        """Fold the next page; None while another process holds the checkpoint. Raises Unavailable."""


class WakeUps(Protocol):
    """Tells that something may have been appended."""

    async def wait(self, timeout: float) -> None:
        """Return at the next wake-up, at once if one came since the last call, at the latest after `timeout` seconds."""


class Report(Protocol):
    """Where a runner tells what a log should hold: an event and its fields."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...


class Runner:
    """Runs one projection until it is stopped."""

    def __init__(self, *, projection: Projection, wake_ups: WakeUps, report: Report) -> None:
        self._projection = projection
        self._wake_ups = wake_ups
        self._report = report

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set; an outage of the database is waited out, with one line when it begins and one at its end.

        Raises LogDamaged for a gap and UnknownEventType for an event of a newer release: a person must look.
        """
        pause = POLL_FIRST
        is_available = True
        while not stop.is_set():
            try:
                moved = await self.step()
            except Unavailable as exc:
                if is_available:
                    self._report.warning("the log cannot be read, trying again", error=str(exc))
                is_available = moved = False
            else:
                if not is_available:
                    self._report.info("the log can be read again")
                is_available = True
            if moved:
                pause = POLL_FIRST
                continue
            await self._wake_ups.wait(pause)
            pause = min(pause * 2, POLL_MOST)

    async def step(self) -> bool:
        """Fold one page; whether there was one. Raises as `run` does, and Unavailable."""
        page = await self._projection.fold_page()
        if page is None:
            return False
        if page.rows != page.after - page.before:
            raise LogDamaged(f"the log has a gap between position {page.before} and {page.after}")
        if page.rows:
            return True
        if page.unknown_position is not None:
            raise UnknownEventType(page.unknown_type or "", page.unknown_position)
        return False
