"""The projection `jobs` in PostgreSQL: the fold is a statement, so no event leaves the database."""

from __future__ import annotations

from typing import Any, Literal, LiteralString

from psycopg import AsyncConnection, AsyncCursor

from adapters.postgres.connecting import connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from domain.events import EVENT_TYPES
from projections.runner import FoldedPage

_EVENT_TYPE_AT = load_statement("event_type_at")
_KNOWN = list(EVENT_TYPES)

Table = Literal["jobs", "jobs_next"]  # the second is what a rebuild fills; each has a checkpoint of its name

_FOLDS: dict[Table, LiteralString] = {
    "jobs": load_statement("fold_jobs").replace("{table}", "jobs"),
    "jobs_next": load_statement("fold_jobs").replace("{table}", "jobs_next"),
}


async def fold_page(cursor: AsyncCursor[Any], *, table: Table, page: int) -> FoldedPage | None:
    """Fold the next `page` positions into that table; None while somebody else holds its checkpoint. Raises psycopg.Error."""
    await cursor.execute(_FOLDS[table], {"page": page, "known": _KNOWN})
    row = await cursor.fetchone()
    if row is None:
        return None
    before, after, rows, unknown_position = row
    unknown_type = None
    if unknown_position is not None:
        await cursor.execute(_EVENT_TYPE_AT, {"position": unknown_position})
        found = await cursor.fetchone()
        unknown_type = found[0] if found else None
    return FoldedPage(before, after, rows, rows >= page, unknown_type, unknown_position)


class PostgresJobsProjection:
    """Implements projections.runner.Projection. Keeps one connection, made anew when it is lost."""

    # Rows and checkpoint vanish together if the server falls, and are made again from the log: no flush to wait for.
    _OPTIONS = "-c synchronous_commit=off"

    def __init__(self, database_url: str, *, page: int = 2_000) -> None:
        self._database_url = database_url
        self._page = page  # positions
        self._connection: AsyncConnection[Any] | None = None
        self._cursor: AsyncCursor[Any] | None = None

    async def fold_page(self) -> FoldedPage | None:
        """See Projection.fold_page."""
        with translated("fold the log into jobs"):
            cursor = await self._connected()
            return await fold_page(cursor, table="jobs", page=self._page)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
        self._connection = self._cursor = None

    async def _connected(self) -> AsyncCursor[Any]:
        if self._cursor is None or self._connection is None or self._connection.closed:
            await self.aclose()
            self._connection = await connect(
                self._database_url, application="jobledger projector", options=self._OPTIONS
            )
            self._cursor = self._connection.cursor(binary=True)
        return self._cursor
