"""The projection `stats` in PostgreSQL: counts that one statement a page adds up, so no event leaves the database."""

from __future__ import annotations

from adapters.postgres.counting import KEPT_PARAMETERS
from adapters.postgres.jobs_projection import fold_by
from adapters.postgres.projector_connection import ProjectorConnection
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from projections.runner import FoldedPage

_FOLD = load_statement("fold_stats")
_PRUNE = load_statement("prune_stats")
# Pages. At the head of the log there are two a second, and each slot of ten seconds adds a few rows: it need not be sooner.
_PRUNE_AFTER = 20


class PostgresStatsProjection(ProjectorConnection):
    """Implements projections.runner.Projection. Keeps one connection, made anew when it is lost.

    Every so many pages it deletes what is too old to be asked for, and rows that have come to nothing.
    """

    # Groups by hash and looks each key up: a page is many rows that come to few, none of which comes twice.
    _PLANNING = "-c enable_sort=off -c enable_memoize=off"

    def __init__(self, database_url: str, *, page: int = 20_000, prune_after: int = _PRUNE_AFTER) -> None:
        super().__init__(database_url, application="jobledger projector stats", options=self._PLANNING)
        self._page = page  # positions
        self._prune_after = prune_after
        self._pages = 0

    async def fold_page(self) -> FoldedPage | None:
        """See Projection.fold_page."""
        with translated("fold the log into stats"):
            cursor = await self._connected()
            page = await fold_by(_FOLD, cursor, page=self._page)
            if page is not None and page.unknown_position is not None and page.unknown_position > page.before + 1:
                page = await fold_by(_FOLD, cursor, page=page.unknown_position - 1 - page.before)
            if page is not None and page.rows:
                self._pages += 1
                if self._pages >= self._prune_after:
                    await cursor.execute(_PRUNE, KEPT_PARAMETERS)
                    self._pages = 0
            return page
