"""What the queue is made from, out of PostgreSQL: pages of the log, and of the jobs that are queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection

from adapters.postgres.connecting import connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import LogDamaged, QueueEntry
from commands.queue_ports import BEGINNING, STREAMS, LogEvent, LogPage, Mark, QueuedPage
from domain.events import Created, Queued

_QUEUEING = [Created.__name__, Queued.__name__]  # the types of domain.events.queues_at_once


class PostgresQueueFeed:
    """Implements commands.queue_ports.QueueFeed. Keeps one connection, made anew when it is lost. One call at a time."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[Any] | None = None

    async def log_page(self, *, begin: int, limit: int) -> LogPage:
        """See QueueFeed.log_page."""
        rows = await self._rows("log_page", {"begin": begin, "limit": limit, "queueing": _QUEUEING})
        if not rows:
            raise LogDamaged("the table log has no row: this database does not know who its log is")
        log_id, head, *first = rows[0]
        return LogPage(log_id, head, [LogEvent(*row[2:]) for row in rows] if first[0] is not None else [])

    async def queued_page(self, *, after: int, limit: int, min_age_seconds: float = 0.0) -> QueuedPage:
        """See QueueFeed.queued_page. Raises LogDamaged if `jobs` was made from more events than there are."""
        rows = await self._rows("queued_page", {"after": after, "limit": limit, "min_age": float(min_age_seconds)})
        if not rows:
            raise LogDamaged("the table log has no row: this database does not know who its log is")
        log_id, position, job_id, version, recorded_ms, *first = rows[0]
        if position and job_id is None:
            raise LogDamaged(f"the checkpoint of jobs is at {position}, where the log has no event")
        checkpoint = Mark(position, job_id, version, recorded_ms) if position else BEGINNING
        if first[0] is None:
            return QueuedPage(log_id, checkpoint, [])
        entries = [
            QueueEntry(STREAMS[priority], f"{queued}-0", id, job_version, type, attempt)
            for *_, queued, id, job_version, priority, type, attempt in rows
        ]
        return QueuedPage(log_id, checkpoint, entries)

    async def still_queued(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """See QueueFeed.still_queued."""
        if not entries:
            return []
        asked = {"job_ids": [entry.job_id for entry in entries], "versions": [entry.version for entry in entries]}
        return [entries[place - 1] for (place,) in await self._rows("still_queued", asked)]

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
        self._connection = None

    async def _rows(self, question: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with translated(f"read {question}"):
            if self._connection is None or self._connection.closed:
                await self.aclose()
                self._connection = await connect(self._database_url, application="jobledger relay")
            async with self._connection.cursor(binary=True) as cursor:
                await cursor.execute(load_statement(question), asked)
                return await cursor.fetchall()
