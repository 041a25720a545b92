"""The table that is to replace `jobs`: made, brought up to it, put in its place. The order of that is projections.rebuild's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection, IsolationLevel, errors

from adapters.postgres.connecting import connect
from adapters.postgres.jobs_projection import fold_page
from adapters.postgres.migrate import SchemaMismatch, schema_fits, schema_is_newer
from adapters.postgres.range_folder import APPLICATION, understood
from adapters.postgres.statements import load_statement
from domain.events import EVENT_TYPES
from domain.job import TRANSITIONS
from projections.rebuild.ports import CannotRebuild, RebuildRunning, Standing, TablesBusy
from projections.runner import went_on

# Until the swap nothing has to be durable. What is left behind is dropped with patience; the swap has time-outs of its own.
_OPTIONS = "-c synchronous_commit=off -c lock_timeout=10000"
_KNOWN = list(EVENT_TYPES)
_LEFT_BEHIND = (
    3.0  # seconds that the connection of a killed rebuild may outlive it: client_connection_check_interval, and more
)
_PAGE = 5_000  # positions that are folded at once while others wait
_LOCK_WAIT = "3s"  # for rows, and for autovacuum to go away (after deadlock_timeout, 1 s): no reader is held up by that
_SWAP_WAIT = "200ms"  # for the tables themselves: whoever wants to read `jobs` waits behind that

Connection = AsyncConnection[tuple[Any, ...]]


class PostgresNewTable:
    """Implements projections.rebuild.ports.NewTable. An async context manager: who has entered it is the only one.

    Entering raises RebuildRunning, SchemaMismatch and Unavailable.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._opened = AsyncExitStack()
        self._connection: Connection  # holds the locks
        self._follower: Connection  # moves the new table while the other one holds `jobs` still

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            with understood("begin a rebuild"):
                self._connection = await self._connect(opened)
                self._follower = await self._connect(opened)
                if not await schema_fits(self._connection, TRANSITIONS):
                    raise SchemaMismatch(
                        "the database's schema is not this release's: `jobledger migrate` brings it there"
                    )
                if await schema_is_newer(self._connection):
                    # Its table may have columns that this release would leave empty.
                    raise SchemaMismatch("the database's schema is of a newer release: rebuild with that one")
                await self._become_the_only_one()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def make(self) -> Standing:
        """See NewTable.make."""
        with understood("make the new table"):
            obstacles = [obstacle for (obstacle,) in await self._ask("rebuild_obstacles")]
            if obstacles:
                raise CannotRebuild(f"a new table could not take over what hangs on jobs: {', '.join(obstacles)}")
            await self._do("rebuild_make_table")
            return await _standing(self._connection)

    async def bounds(self, *, upto: int, step: int) -> list[str]:
        """See NewTable.bounds."""
        with understood("cut the log into ranges"):
            return [job_id for (job_id,) in await self._ask("verify_bounds", upto=upto, step=step)]

    async def indexes(self) -> list[str]:
        """See NewTable.indexes."""
        with understood("read the indexes of jobs"):
            return [";".join(filter(None, row)) for row in await self._ask("rebuild_indexes")]

    async def first_unknown(self, *, upto: int) -> tuple[int, str] | None:
        """See NewTable.first_unknown."""
        with understood("look for unknown events"):
            found = await self._ask("rebuild_unknown", upto=upto, known=_KNOWN)
        return (found[0][0], found[0][1]) if found else None

    async def begin_following(self, position: int) -> None:
        """See NewTable.begin_following."""
        with understood("let the new table follow"):
            await self._do("rebuild_let_vacuum")
            await self._do("rebuild_begin_following", position=position)

    async def approach(self, *, most: int) -> int:
        """See NewTable.approach."""
        with understood("follow the log"):
            return await _approach(self._follower, most=most)

    @asynccontextmanager
    async def meeting(self) -> AsyncIterator[str]:
        """See NewTable.meeting."""
        async with self._patiently("compare"), self._connection.transaction():
            await self._ask("set_lock_timeout", timeout=_LOCK_WAIT)
            await self._ask("rebuild_lock_checkpoint")
            while await _approach(self._follower, most=_PAGE):
                pass
            await self._follower.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with self._follower.transaction():
                    cursor = await self._follower.execute(load_statement("rebuild_export_snapshot"))
                    [(snapshot,)] = await cursor.fetchall()
                    yield snapshot
            finally:
                await self._follower.set_isolation_level(None)

    async def swap(self, *, drop_old: bool) -> None:
        """See NewTable.swap."""
        async with self._patiently("swap the tables"), self._connection.transaction():
            await self._ask("set_lock_timeout", timeout=_LOCK_WAIT)
            await self._do("rebuild_lock_tables")
            await self._ask("rebuild_lock_checkpoints")
            while await _approach(self._connection, most=_PAGE):
                pass
            await self._ask("set_lock_timeout", timeout=_SWAP_WAIT)
            await self._do("rebuild_swap")
            if drop_old:
                await self._do("rebuild_drop_old")

    async def drop(self) -> None:
        """See NewTable.drop."""
        with understood("take the new table away"):
            await self._do("rebuild_drop")

    async def _connect(self, opened: AsyncExitStack) -> Connection:
        connection = await connect(self._database_url, application=APPLICATION, options=_OPTIONS, reply_seconds=None)
        opened.push_async_callback(connection.close)
        return connection

    async def _become_the_only_one(self) -> None:
        deadline = asyncio.get_running_loop().time() + _LEFT_BEHIND
        while True:
            [(is_ours,)] = await self._ask("rebuild_lock")
            if is_ours:
                break
            if asyncio.get_running_loop().time() >= deadline:
                raise RebuildRunning("another rebuild is under way in this database")
            await asyncio.sleep(0.1)
        # The lock is the first connection's; those that filled the table may be at their last statement still.
        await self._ask("rebuild_wait_for_workers")

    @asynccontextmanager
    async def _patiently(self, doing: str) -> AsyncIterator[None]:
        """Raise TablesBusy, with who holds what, where locks were waited for in vain."""
        with understood(doing):
            try:
                yield
            except (errors.LockNotAvailable, errors.DeadlockDetected) as exc:
                raise TablesBusy(f"{doing}: others hold locks on the tables{await self._holders()}") from exc

    async def _holders(self) -> str:
        rows = await self._ask("rebuild_holders")
        return "".join(f"; process {pid} ({name}) for {seconds:.0f} s" for pid, name, seconds in rows)

    async def _ask(self, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(load_statement(question), parameters or None)
        return await cursor.fetchall()

    async def _do(self, statement: str, **parameters: Any) -> None:
        await self._connection.execute(load_statement(statement), parameters or None, prepare=False)


async def _standing(connection: Connection) -> Standing:
    cursor = await connection.execute(load_statement("rebuild_standing"))
    [row] = await cursor.fetchall()
    return Standing(*row)


async def _approach(connection: Connection, *, most: int) -> int:
    """See NewTable.approach. Never beyond `jobs`: there would be no way back."""
    standing = await _standing(connection)
    if standing.new is None:
        raise CannotRebuild("somebody took the checkpoint of the new table away")
    left = standing.goal - standing.new
    if left < 0:
        raise CannotRebuild(
            f"the checkpoint of jobs went back from {standing.new} or beyond to {standing.goal} meanwhile"
        )
    if left > 0:
        page = await fold_page(connection.cursor(binary=True), table="jobs_next", page=min(left, most))
        if page is None:
            raise CannotRebuild("somebody else holds the checkpoint of the new table")
        went_on(page)
        left -= page.rows
    return left
