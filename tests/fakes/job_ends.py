"""The ends of jobs in the log in memory, and wake-ups that are polls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commands.ports import Unavailable
from commands.wait_for_end import EndedPage
from domain.events import type_name
from domain.job import ENDS
from tests.fakes.event_log import FakeEventLog


class FakeJobEnds:
    """Implements commands.wait_for_end.JobEnds. `asked`: how often it was."""

    def __init__(self, log: FakeEventLog) -> None:
        self._log = log
        self.asked = 0

    async def head(self) -> int:
        """See JobEnds.head."""
        self._require_presence()
        return len(self._log.events)

    async def ended_after(self, position: int, *, limit: int) -> EndedPage:
        """See JobEnds.ended_after."""
        self._require_presence()
        self.asked += 1
        events = self._log.events[position : position + limit]
        ended = [event.job_id for event in events if type_name(event.event) in ENDS]
        return EndedPage(position + len(events), ended, is_full=len(events) == limit)

    def _require_presence(self) -> None:
        if self._log.away:
            raise Unavailable("the log is away", dependency="PostgreSQL")


class FakeWakeUps:
    """Implements commands.wait_for_end.WakeUps."""

    async def wait(self, timeout: float) -> None:
        """See WakeUps.wait."""
        await asyncio.sleep(min(timeout, 0.005))


@asynccontextmanager
async def listen() -> AsyncIterator[FakeWakeUps]:
    """What begins to hear of appends."""
    yield FakeWakeUps()
