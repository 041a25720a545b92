"""The projection `jobs` in PostgreSQL: the fold is a statement, so no event leaves the database."""

from __future__ import annotations

from typing import Any, Literal, LiteralString

from psycopg import AsyncCursor

from adapters.postgres.projector_connection import ProjectorConnection
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
    return await fold_by(_FOLDS[table], cursor, page=page)


async def fold_by(fold: LiteralString, cursor: AsyncCursor[Any], *, page: int) -> FoldedPage | None:
    """Fold the next `page` positions by a statement that answers as fold_jobs.sql does; None as above. Raises psycopg.Error."""
    await cursor.execute(fold, {"page": page, "known": _KNOWN})
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


class PostgresJobsProjection(ProjectorConnection):
    """Implements projections.runner.Projection. Keeps one connection, made anew when it is lost."""

    def __init__(self, database_url: str, *, page: int = 2_000) -> None:
        super().__init__(database_url, application="jobledger projector")
        self._page = page  # positions

    async def fold_page(self) -> FoldedPage | None:
        """See Projection.fold_page."""
        with translated("fold the log into jobs"):
            return await fold_page(await self._connected(), table="jobs", page=self._page)
