"""The jobs that have failed, out of PostgreSQL: for those who let many of them live again."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.postgres.job_reader import Connections
from adapters.postgres.job_rows import job_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.retry_failed import Wish
from domain.job import Job


class PostgresFailedJobs:
    """Implements commands.retry_failed.FailedJobs."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def count(self, wish: Wish) -> dict[str, int]:
        """See FailedJobs.count."""
        return dict(await self._rows("failed_counts", wish))

    async def page(self, wish: Wish, *, after: Job | None, limit: int) -> list[Job]:
        """See FailedJobs.page."""
        rows = await self._rows(
            "failed_jobs",
            wish,
            after=None if after is None else after.id,
            limit=limit,
        )
        return [job_of_row(row[0], row[1:]) for row in rows]

    async def _rows(self, question: str, wish: Wish, **asked: object) -> list[Any]:
        # As the error is written in the log: a JSON string, without its quotation marks.
        error = None if wish.error is None else msgspec.json.encode(wish.error)[1:-1].decode()
        asked |= {"since": wish.since, "type": wish.type, "error": error}
        with translated("find failed jobs"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), asked)
                return await cursor.fetchall()
