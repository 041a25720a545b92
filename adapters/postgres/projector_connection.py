"""The connection by which a projector folds: kept from page to page, and made anew when it is lost."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, AsyncCursor

from adapters.postgres.connecting import connect


class ProjectorConnection:
    """What projections have in common: one connection, opened when it is first needed."""

    # Rows and checkpoint vanish together if the server falls, and are made again from the log: no flush to wait for.
    _NO_FLUSH = "-c synchronous_commit=off"

    def __init__(self, database_url: str, *, application: str, options: str = "") -> None:
        self._database_url = database_url
        self._application = application
        self._options = f"{self._NO_FLUSH} {options}"
        self._connection: AsyncConnection[Any] | None = None
        self._cursor: AsyncCursor[Any] | None = None

    async def _connected(self) -> AsyncCursor[Any]:
        if self._cursor is None or self._connection is None or self._connection.closed:
            await self.aclose()
            self._connection = await connect(self._database_url, application=self._application, options=self._options)
            self._cursor = self._connection.cursor(binary=True)
        return self._cursor

    async def aclose(self) -> None:
        """Close the connection; the next page opens another."""
        if self._connection is not None:
            await self._connection.close()
        self._connection = self._cursor = None
