"""How far all are, out of PostgreSQL, in one cheap statement. What must not come in: any judgement of it."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME, translated
from commands.ports import Unavailable
from commands.standing import ReaderStanding, Standing

_STANDING = load_statement("standing")


class PostgresStandingReader:
    """Implements commands.standing.StandingReader over an open pool."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]) -> None:
        self._pool = pool

    async def read(self, *, relayed: int = 0) -> Standing:
        """See StandingReader.read."""
        with translated("read standing"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(_STANDING, {"relayed": relayed})
                row = await cursor.fetchone()
        if row is None:
            raise Unavailable("read standing: no answer", dependency=NAME)
        return standing_of_row(row)


def standing_of_row(row: tuple[Any, ...]) -> Standing:
    """What the statement standing.sql answers."""
    head, readers, oldest, workers = row
    return Standing(
        head=head,
        readers={name: ReaderStanding(position, age) for name, (position, age) in (readers or {}).items()},
        oldest=oldest or {},
        workers=workers or {},
    )
