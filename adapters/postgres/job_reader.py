"""Single jobs out of PostgreSQL: read your own write, whatever the projector's lag."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from psycopg import AsyncConnection

from adapters.postgres.job_rows import event_of_row, job_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import PastJob
from domain.events import RecordedEvent
from domain.job import Job, fold
from domain.moment import BeforeCreation, BeyondHead, Moment

_JOB_COLUMNS = 16  # of sql/queries/job.sql; what follows them are an event's
_LOG_COLUMNS = 4  # of sql/queries/job_as_of.sql, likewise


class Connections(Protocol):
    """What lends connections: an open pool, or something simpler."""

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection[tuple[Any, ...]]]: ...


class PostgresJobReader:
    """Implements commands.ports.JobReader."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def find(self, job_id: str) -> Job | None:
        """See JobReader.find."""
        rows = await self._rows("job", job_id)
        job = None if rows[0][0] is None else job_of_row(job_id, rows[0][:_JOB_COLUMNS])
        beyond = [event_of_row(job_id, row[_JOB_COLUMNS:]) for row in rows if row[_JOB_COLUMNS] is not None]
        return fold(beyond, job)

    async def payload(self, job_id: str) -> bytes | None:
        """See JobReader.payload."""
        rows = await self._rows("job_payload", job_id)
        return rows[0][0].encode() if rows and rows[0][0] is not None else None

    async def history(self, job_id: str) -> list[RecordedEvent]:
        """See JobReader.history."""
        return [event_of_row(job_id, row) for row in await self._rows("job_history", job_id)]

    async def as_of(self, job_id: str, moment: Moment, *, with_payload: bool = False) -> PastJob | None:
        """See JobReader.as_of."""
        is_position = isinstance(moment, int)
        rows = await self._rows(
            "job_as_of",
            job_id,
            position=moment if is_position else None,
            time=None if is_position else moment,
            with_payload=with_payload,
        )
        head, now, created_position, created_at = rows[0][:_LOG_COLUMNS]
        if created_position is None:
            return None
        if (moment > head) if isinstance(moment, int) else (moment > now):
            raise BeyondHead(moment, position=head, now=now)
        events = [event_of_row(job_id, row[_LOG_COLUMNS:]) for row in rows if row[_LOG_COLUMNS] is not None]
        job = fold(events)
        if job is None:
            raise BeforeCreation(job_id, moment, position=created_position, created_at=created_at)
        return PastJob(job, events[0].content)

    async def _rows(self, question: str, job_id: str, **asked: object) -> list[tuple[Any, ...]]:
        with translated(f"read {question}"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), {"job_id": job_id, **asked})
                return await cursor.fetchall()
