"""The jobs that are queued, out of PostgreSQL, for one worker: what it claims from while it cannot read the streams."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import QueueEntry
from commands.queue_ports import DIRECTLY, QueueHead
from domain.events import Priority

_QUEUE_HEAD = load_statement("queue_head")
_MOST_PAGES = 50  # that one call looks through; what is passed over stays so

_Row = tuple[Any, ...]


class PostgresQueuedJobs:
    """Implements commands.queue_ports.QueuedJobs over an open pool.

    Remembers up to where none is left to start: a row below that can only have been passed by, as each further queueing of a
    job has a higher position. So neither a projector that stands still nor types that others run make each look longer.
    """

    def __init__(self, pool: Connections, *, worker: str, job_types: Collection[str]) -> None:
        self._pool = pool
        self._worker = worker
        self._types = sorted(job_types)
        self._passed: dict[Priority, int] = {"high": 0, "default": 0}

    async def head(self, *, limit: int, wanted: int) -> QueueHead:
        """See QueuedJobs.head."""
        try:
            head = await self._look(limit, wanted)
            for _ in range(_MOST_PAGES):
                if head is not None:
                    return head
                head = await self._look(limit, wanted)
        except BaseException:
            # What comes back may be a database restored to an earlier moment, whose positions are given out again.
            self._passed = {"high": 0, "default": 0}
            raise
        return head or QueueHead([], [])

    async def _look(self, limit: int, wanted: int) -> QueueHead | None:
        """The head; None if all that was seen is passed, and there is more."""
        with translated("read queue_head"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(
                    _QUEUE_HEAD,
                    {
                        "types": self._types,
                        "worker": self._worker,
                        "after_high": self._passed["high"],
                        "after_default": self._passed["default"],
                        "limit": limit,
                        "wanted": wanted,
                    },
                )
                rows = await cursor.fetchall()
        workers, rank, *_ = rows[0]
        seen = {is_high: [row[3:] for row in rows if row[2] is is_high] for is_high in (True, False)}
        high, default = self._opened("high", seen[True]), self._opened("default", seen[False])
        if len(seen[True]) == limit and not high:
            return None
        if len(seen[False]) == limit and not high and not default:
            return None
        return QueueHead(high, default, rank=max(0, min(rank, workers - 1)), workers=max(workers, 1))

    def _opened(self, priority: Priority, rows: list[_Row]) -> list[QueueEntry]:
        """Those of one priority that are still to be started; notes how far there is none."""
        first = next((row for row in rows if row[0]), None)
        if first is not None:
            self._passed[priority] = first[1] - 1
        elif rows:
            self._passed[priority] = rows[-1][1]
        return [
            QueueEntry(DIRECTLY, f"{position}-0", job_id, version, type, attempt)
            for is_open, position, job_id, version, type, attempt in rows
            if is_open
        ]
