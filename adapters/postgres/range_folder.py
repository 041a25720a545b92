"""One connection of those that fill the new table side by side, and then hold `jobs` against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg
from psycopg import AsyncConnection, IsolationLevel, errors

from adapters.postgres.connecting import connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import RejectedData
from domain.events import EVENT_TYPES
from projections.rebuild.ports import CannotRebuild, Compared, IdRange
from projections.verify.ports import RowDifference

APPLICATION = "jobledger rebuild"
_OPTIONS = (
    # Until the swap nothing has to be durable, and what that one flushes holds all that was written before it.
    "-c synchronous_commit=off"
    # Parameters decide the plan: a range of ids.
    " -c plan_cache_mode=force_custom_plan -c enable_seqscan=off"
    # As many run at once as were asked for, and no more.
    " -c max_parallel_workers_per_gather=0 -c max_parallel_maintenance_workers=0"
    " -c work_mem=32MB -c maintenance_work_mem=256MB"
)
_KNOWN = list(EVENT_TYPES)

_differences = msgspec.json.Decoder(list[RowDifference])
_columns = msgspec.json.Decoder(dict[str, int])


class PostgresRangeFolder:
    """Implements projections.rebuild.ports.RangeFolder. An async context manager; entering raises Unavailable."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[tuple[Any, ...]]
        self._looking = AsyncExitStack()

    async def __aenter__(self) -> Self:
        with translated("begin a rebuild"):
            self._connection = await connect(
                self._database_url, application=APPLICATION, options=_OPTIONS, reads_whole_tables=True
            )
            try:
                await self._run("rebuild_lock_as_worker")
            except BaseException:
                await self._connection.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def fold(self, jobs: IdRange, *, upto: int) -> int:
        """See RangeFolder.fold."""
        with understood("fold the log"):
            cursor = await self._connection.execute(
                load_statement("rebuild_range"),
                {"after": jobs.after, "last": jobs.last, "upto": upto, "known": _KNOWN},
            )
        return cursor.rowcount

    async def make_index(self, index: str) -> None:
        """See RangeFolder.make_index."""
        with understood("make an index"):
            for statement in index.split(";"):
                await self._connection.execute(statement.encode(), prepare=False)

    async def filled(self) -> tuple[int, int]:
        """See RangeFolder.filled."""
        with understood("count the new table"):
            [(jobs, events)] = await self._run("rebuild_filled")
        return jobs, events

    async def analyze(self) -> None:
        """See RangeFolder.analyze."""
        with understood("analyze the new table"):
            await self._connection.execute(load_statement("rebuild_analyze"))

    async def look(self, snapshot: str) -> None:
        """See RangeFolder.look."""
        with understood("compare"):
            await self._connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await self._looking.enter_async_context(self._connection.transaction())
            # Written by the server; and SET takes no parameters.
            statement = load_statement("rebuild_look").replace("{snapshot}", snapshot)
            await self._connection.execute(statement.encode(), prepare=False)

    async def compare(self, jobs: IdRange, *, shown: int) -> Compared:
        """See RangeFolder.compare."""
        with understood("compare"):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(
                load_statement("rebuild_differences"), {"after": jobs.after, "last": jobs.last, "shown": shown}
            )
            [(rows, missing, invented, columns, first)] = await cursor.fetchall()
        return Compared(rows, missing, invented, _columns.decode(columns), _differences.decode(first))

    async def look_away(self) -> None:
        """See RangeFolder.look_away."""
        with understood("compare"):
            await self._looking.aclose()
            await self._connection.set_isolation_level(None)

    async def _run(self, question: str) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(load_statement(question))
        return await cursor.fetchall()


@contextmanager
def understood(doing: str) -> Iterator[None]:
    """Raise CannotRebuild for what trying again would not change, and else as `translated` does."""
    try:
        with translated(doing):
            try:
                yield
            except (errors.ObjectNotInPrerequisiteState, errors.DependentObjectsStillExist) as exc:
                raise CannotRebuild(f"{doing}: {exc}") from exc
            except errors.InsufficientPrivilege as exc:
                raise CannotRebuild(f"{doing}: {exc}: it takes the owner of the tables (DATABASE_OWNER_URL)") from exc
            except psycopg.Error as exc:
                # Class 42 is about names, types and privileges.
                if exc.sqlstate is None or not exc.sqlstate.startswith("42"):
                    raise
                raise CannotRebuild(f"{doing}: {exc} (if tables are being altered, try again afterwards)") from exc
    except RejectedData as exc:
        raise CannotRebuild(f"{exc} (`jobledger verify` says of which job)") from exc
