"""The state of all parts out of PostgreSQL. What must not come in: any judgement of what is healthy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.migrate import SchemaMismatch, schema_fits
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME, translated
from commands.health import NOTHING_KNOWN, Health, WorkerBeat
from commands.ports import Unavailable

_HEALTH = load_statement("health")
_WORKER_BEATS = load_statement("worker_beats")


class PostgresHealthReader:
    """Implements commands.health.HealthReader over an open pool. `transitions`: those that the schema must hold."""

    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]], *, transitions: Iterable[tuple[str, str]]
    ) -> None:
        self._pool = pool
        self._transitions = frozenset(transitions)

    async def read(self) -> Health:
        """See HealthReader.read."""
        with translated("read health"):
            async with self._pool.connection() as connection:
                try:
                    fits = await schema_fits(connection, self._transitions)
                except SchemaMismatch:
                    fits = False
                if not fits:
                    return NOTHING_KNOWN
                cursor = connection.cursor(binary=True)
                await cursor.execute(_HEALTH)
                row = await cursor.fetchone()
        if row is None:  # the rows that migrations make are gone: nothing here can work
            raise Unavailable(
                "read health: the checkpoint of jobs or the dispatcher's lease has no row", dependency=NAME
            )
        head, projected, projection_age, relayed, dispatcher, redis_state, reported_at, report_age, *workers = row
        return Health(
            schema_fits=True,
            head=head,
            projected=projected,
            projection_age=projection_age,
            relayed=relayed,
            dispatcher=dispatcher,
            redis_state=redis_state,
            redis_reported_at=reported_at,
            redis_report_age=report_age,
            workers=workers[0],
            workers_direct=workers[1],
            workers_unable=workers[2],
        )

    async def workers(self) -> Mapping[str, WorkerBeat]:
        """See HealthReader.workers."""
        with translated("read worker_beats"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(_WORKER_BEATS)
                return {name: WorkerBeat(counter, claims) for name, counter, claims in await cursor.fetchall()}
