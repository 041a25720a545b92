"""A connection of `jobledger rebuild stats`: counts pages of the log, and puts what was counted into `stats`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection, errors

from adapters.postgres.connecting import connect
from adapters.postgres.counting import COUNT_PARAMETERS, counts_of, reading_of, standing_of
from adapters.postgres.migrate import SchemaMismatch, schema_fits, schema_is_newer
from adapters.postgres.range_folder import APPLICATION, understood
from adapters.postgres.statements import load_statement
from domain.job import TRANSITIONS
from projections.counts import Counted, CountsReading, CountsStanding
from projections.rebuild.ports import TablesBusy

_OPTIONS = (
    # What one flush holds, holds all that was written before it.
    "-c synchronous_commit=off"
    # As many run at once as were asked for, and no more; a page is small, and is looked for by the index.
    " -c plan_cache_mode=force_custom_plan -c enable_seqscan=off -c max_parallel_workers_per_gather=0 -c work_mem=32MB"
)
_LOCK_WAIT = "3s"  # a projector holds the checkpoint for as long as it folds a page


class PostgresRecounter:
    """Implements projections.rebuild.recounting.CountsTable. An async context manager.

    Entering raises SchemaMismatch and Unavailable.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[tuple[Any, ...]]

    async def __aenter__(self) -> Self:
        with understood("begin to count"):
            self._connection = await connect(
                self._database_url, application=APPLICATION, options=_OPTIONS, reads_whole_tables=True
            )
            try:
                fits = await schema_fits(self._connection, TRANSITIONS)
                fits = fits and not await schema_is_newer(self._connection)
            except BaseException:
                await self._connection.close()
                raise
        if not fits:
            await self._connection.close()
            raise SchemaMismatch("the database's schema is not this release's: rebuild with the release that it is of")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def counts_standing(self) -> CountsStanding:
        """See LogCounter.counts_standing."""
        return standing_of(await self._ask("verify_stats_standing"))

    async def counted(self, after: int, upto: int, *, second: int) -> Mapping[Counted, int]:
        """See LogCounter.counted."""
        return counts_of(
            await self._ask("verify_stats_counted", after=after, upto=upto, second=second, **COUNT_PARAMETERS)
        )

    async def read_counts(self, after: int) -> CountsReading:
        """See LogCounter.read_counts."""
        return reading_of(await self._ask("verify_stats", after=after, **COUNT_PARAMETERS))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """See CountsTable.held."""
        with understood("hold stats"):
            try:
                async with self._connection.transaction():
                    await self._ask("set_lock_timeout", timeout=_LOCK_WAIT)
                    await self._ask("rebuild_stats_lock")
                    yield
            except (errors.LockNotAvailable, errors.DeadlockDetected) as exc:
                raise TablesBusy("hold stats: others hold its checkpoint") from exc

    async def replace(self, position: int, amounts: Mapping[Counted, int]) -> None:
        """See CountsTable.replace."""
        keys = list(amounts)
        columns: dict[str, list[Any]] = {name: [getattr(key, name) for key in keys] for name in Counted._fields}
        with understood("replace the counts"):
            await self._connection.execute(
                load_statement("rebuild_stats_replace"),
                {**columns, "amount": list(amounts.values()), "position": position},
            )

    async def _ask(self, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with understood("count the log"):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(load_statement(question), parameters or None)
            return await cursor.fetchall()
