"""The ends of jobs, read from the log in PostgreSQL, for those who wait for them."""

from __future__ import annotations

from typing import Any

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.wait_for_end import EndedPage
from domain.errors import LogDamaged
from domain.job import ENDS


class PostgresJobEnds:
    """Implements commands.wait_for_end.JobEnds."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def head(self) -> int:
        """See JobEnds.head."""
        [head] = await self._row("log_head", {})
        return int(head)

    async def ended_after(self, position: int, *, limit: int) -> EndedPage:
        """See JobEnds.ended_after."""
        asked = {"after": position, "limit": limit, "ends": sorted(ENDS)}
        last, count, job_ids = await self._row("ended_jobs", asked)
        if last is None:
            return EndedPage(position, [])
        if last - position != count:
            raise LogDamaged(f"the log has a gap between position {position} and {last}")
        return EndedPage(last, job_ids, is_full=count == limit)

    async def _row(self, question: str, asked: dict[str, Any]) -> tuple[Any, ...]:
        with translated(f"read {question}"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), asked)
                [row] = await cursor.fetchall()
                return row
