"""What goes on, out of PostgreSQL."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.standing_reader import PostgresStandingReader
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.status import COUNTED, RunningJobs, Status, WorkerStatus

_RATE_SECONDS = 10.0
_RATE_EVENTS = 20_000  # that are looked at for it, at most


class PostgresStatusReader:
    """Implements commands.status.StatusReader over an open pool."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]) -> None:
        self._pool = pool
        self._standing = PostgresStandingReader(pool)

    async def read(self) -> Status:
        """See StatusReader.read."""
        standing = await self._standing.read()
        [(dispatcher, redis)] = await self._ask("status_lease")
        [(events, seconds)] = await self._ask("status_rates", seconds=_RATE_SECONDS, most=_RATE_EVENTS)
        queued = dict(await self._ask("status_queued", most=COUNTED))
        return Status(
            standing=standing,
            dispatcher=dispatcher,
            redis=redis,
            queued=queued,
            per_second={name: count / seconds for name, count in events.items()},
            workers=_workers(await self._ask("status_workers")),
        )

    async def _ask(self, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with translated(f"read {question}"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), parameters)
                return await cursor.fetchall()


def _workers(rows: list[tuple[Any, ...]]) -> list[WorkerStatus]:
    running: dict[str, list[RunningJobs]] = {}
    for name, *_, type_, jobs, since in rows:
        of_worker = running.setdefault(name, [])
        if type_ is not None:
            of_worker.append(RunningJobs(type_, jobs, since))
    seen = {row[0]: row for row in rows}
    return [
        WorkerStatus(name, is_registered, claims_from, up_seconds, running[name])
        for name, is_registered, claims_from, up_seconds, *_ in seen.values()
    ]
