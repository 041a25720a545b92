"""What is shown of running attempts, for any number who ask at about the same time: one query at a time serves all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from commands.progress import Progress, ProgressBoard


class SharedProgress:
    """Reads the board for all who ask in one process: those who come while a query is under way share the next one."""

    def __init__(self, board: ProgressBoard) -> None:
        self._board = board
        self._wanted: set[str] = set()
        self._reading: asyncio.Task[Mapping[str, Progress]] | None = None
        self._next: asyncio.Task[Mapping[str, Progress]] | None = None

    async def of(self, job_id: str, *, attempt: int) -> Progress | None:
        """What that attempt, which runs by all that the caller knows, said last; None for nothing. Raises Unavailable."""
        self._wanted.add(job_id)
        if self._next is None:
            self._next = asyncio.create_task(self._read(after=self._reading), name="read progress")
        # The query is others' too: it goes on when one of them goes.
        shown = (await asyncio.shield(self._next)).get(job_id)
        return shown if shown is not None and shown.attempt == attempt else None

    async def _read(self, *, after: asyncio.Task[Mapping[str, Progress]] | None) -> Mapping[str, Progress]:
        if after is not None:
            await asyncio.wait((after,))
        wanted, self._wanted = self._wanted, set()
        self._reading, self._next = self._next, None
        return await self._board.read(sorted(wanted))
