"""Single jobs out of PostgreSQL: read your own write, whatever the projector's lag."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.job_rows import event_of_row, job_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from domain.events import RecordedEvent
from domain.job import Job, fold

_JOB_COLUMNS = 15  # of sql/queries/job.sql; what follows them are an event's


class PostgresJobReader:
    """Implements commands.ports.JobReader over an open pool."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]) -> None:
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

    async def _rows(self, question: str, job_id: str) -> list[tuple[Any, ...]]:
        with translated(f"read {question}"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), {"job_id": job_id})
                return await cursor.fetchall()
