"""What PostgreSQL says of itself, of its replication slots, of rights, and of jobs that may be stuck."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection

from adapters.postgres.standing_reader import standing_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.examined_facts import JobFacts, PostgresFacts
from commands.standing import Standing


class PostgresExaminer:
    """Asks over an open connection. Every call raises Unavailable."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def server(self) -> PostgresFacts:
        """The server, as far as this user may see it."""
        asked = time.time()
        [(*facts, clock)] = await self._ask("doctor_server")
        clock_apart = float(clock) - (asked + time.time()) / 2
        (version, number, is_replica, fsync, commit, pages, connections, most, size, oldest) = facts
        slots = await self._ask("doctor_slots")
        return PostgresFacts(
            version=version,
            version_number=number,
            is_replica=is_replica,
            fsync=fsync,
            synchronous_commit=commit,
            full_page_writes=pages,
            connections=connections,
            max_connections=most,
            database_bytes=size,
            clock_apart=clock_apart,
            oldest_transaction=float(oldest),
            slots=[(name, active, status, kept) for name, active, status, kept in slots],
        )

    async def log_id(self) -> str:
        """Which log this is."""
        [(log_id,)] = await self._ask("doctor_log")
        return str(log_id)

    async def next_types(self) -> Mapping[str, str | None]:
        """For each reader that is behind: the type of the event that it comes to next, None for a gap."""
        return {name: next_type for name, next_type in await self._ask("doctor_next_events")}  # noqa: C416 - rows are tuples of anything

    async def missing_rights(self) -> list[str]:
        """What processes need and this user lacks, such as "select on events"."""
        return [right for (right,) in await self._ask("doctor_rights")]

    async def standing(self) -> tuple[Standing, str | None, str]:
        """How far all are, which dispatcher leads, and how it sees Redis."""
        [row] = await self._ask("standing", relayed=0)
        [(dispatcher, redis)] = await self._ask("status_lease")
        return standing_of_row(row), dispatcher, redis

    async def excess(self) -> list[str]:
        """What this user might do though the service must not, a sentence each."""
        return [sentence for (sentence,) in await self._ask("service_excess", login=self._connection.info.user)]

    async def jobs(self, *, timeout: float, overdue: float, unclosed: float) -> JobFacts:
        """Jobs that may be stuck. All are seconds: `timeout` of an attempt, and how late the others must be."""
        [row] = await self._ask("doctor_jobs", timeout=timeout, overdue=overdue, unclosed=unclosed)
        return JobFacts(running_long=(row[0], row[1]), overdue=(row[2], row[3]), unclosed=(row[4], row[5]))

    async def counters(self) -> Mapping[str, tuple[int, str | None]]:
        """Each worker's heartbeat counter, and where it claims."""
        return {name: (counter, claims) for name, counter, claims in await self._ask("worker_beats")}

    async def _ask(self, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with translated(f"ask {question}"):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(load_statement(question), parameters)
            return await cursor.fetchall()
