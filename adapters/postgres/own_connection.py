"""One connection of its user's own: made when it is first wanted, and anew after it was lost. For one statement at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection

from adapters.postgres.connecting import REPLY_SECONDS, connect
from adapters.postgres.migrate import SchemaMismatch, schema_fits
from adapters.postgres.translating import translated


class OwnConnection:
    """Lends it as a pool would; but it waits behind nobody, and a try to connect is made at each call."""

    def __init__(self, database_url: str, *, application: str, reply_seconds: float = REPLY_SECONDS) -> None:
        self._database_url = database_url
        self._application = application
        self._reply_seconds = reply_seconds
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[tuple[Any, ...]]]:
        """The connection. Raises psycopg.OperationalError, as a pool's would inside `translated`."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect(
                self._database_url, application=self._application, reply_seconds=self._reply_seconds
            )
        yield self._connection


async def require_schema(database: OwnConnection) -> None:
    """Raises SchemaMismatch for a schema that is not this release's; Unavailable, NoConnectionString."""
    with translated("look at the schema"):
        async with database.connection() as connection:
            fits = await schema_fits(connection, ())
    if not fits:
        raise SchemaMismatch("the database's schema is not this release's: `jobledger migrate` brings it there")
