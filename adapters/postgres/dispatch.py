"""What the dispatcher asks of PostgreSQL beside the log: jobs that are due, workers, its lease, and old keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.job_rows import job_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.dispatch_ports import DueJobs
from domain.job import Job

LEASE_SECONDS = 5.0  # renewed every second; another dispatcher takes over this long after the last renewal


class PostgresDispatch:
    """Implements WaitingJobs, WorkerTable, Lease and ExpiredKeys of commands.dispatch_ports over an open pool."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]], *, holder: str) -> None:
        self._pool = pool
        self._holder = holder

    async def due(self, *, limit: int) -> DueJobs:
        """See WaitingJobs.due."""
        rows, _ = await self._execute("due_jobs", limit=limit)
        jobs = [job_of_row(row[0], row[1:-1]) for row in rows if row[-1] <= 0]
        return DueJobs(jobs, next((row[-1] for row in rows if row[-1] > 0), None))

    async def counters(self) -> Mapping[str, int]:
        """See WorkerTable.counters."""
        rows, _ = await self._execute("worker_counters")
        return {row[0]: row[1] for row in rows}

    async def remove(self, worker: str, *, counter: int) -> bool:
        """See WorkerTable.remove."""
        _, changed = await self._execute("remove_worker", worker=worker, counter=counter)
        return changed == 1

    async def orphans(self, *, limit: int) -> Sequence[Job]:
        """See WorkerTable.orphans."""
        rows, _ = await self._execute("orphaned_jobs", limit=limit)
        return [job_of_row(row[0], row[1:]) for row in rows]

    async def traces(self, jobs: Sequence[Job]) -> Mapping[str, tuple[int | None, str | None]]:
        """Of each job by its id: the position of the event after it, and its trace. Raises Unavailable."""
        rows, _ = await self._execute(
            "lost_traces", job_ids=[job.id for job in jobs], versions=[job.version for job in jobs]
        )
        return {job_id: (position, trace) for job_id, position, trace in rows}

    async def hold(self, *, relayed_position: int, redis_state: str) -> bool:
        """See Lease.hold."""
        _, changed = await self._execute(
            "hold_lease",
            holder=self._holder,
            seconds=LEASE_SECONDS,
            relayed_position=relayed_position,
            redis_state=redis_state,
        )
        return changed == 1

    async def give_up(self) -> None:
        """See Lease.give_up."""
        await self._execute("give_up_lease", holder=self._holder)

    async def sweep(self, *, older_than_hours: float) -> int:
        """See ExpiredKeys.sweep."""
        _, changed = await self._execute("sweep_idempotency_keys", hours=older_than_hours)
        return changed

    async def _execute(self, question: str, **parameters: Any) -> tuple[list[tuple[Any, ...]], int]:
        with translated(question.replace("_", " ")):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), parameters)
                return (await cursor.fetchall() if cursor.description else []), cursor.rowcount
