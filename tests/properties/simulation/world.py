"""The outside of the simulated processes: real PostgreSQL and Valkey, whose time and whose failures the simulation decides.

One database serves all runs: each begins by wiping it. Connections live as long as the world; what a process has in memory does
not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import psycopg
import pytest
import redis
from psycopg import AsyncConnection
from tenacity import wait_none

from adapters.postgres import event_log
from adapters.postgres.connecting import connect
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from adapters.redis.connecting import connect as connect_redis
from commands.ports import Unavailable
from tests.properties.simulation.faults import (
    Faults,
    FaultyLog,
    FaultyProjection,
    SharedConnection,
    make_faulty,
)
from tests.properties.simulation.gates import Call
from tests.properties.simulation.model import Model
from tests.properties.simulation.stepped_loop import Clock
from tests.real_log import Database, checkpoint, connected, read_jobs

T = TypeVar("T")
_READS = ("feed", "jobs", "queued", "table", "waiting")  # ports over PostgreSQL beside the log
_BEGINNING = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
PAGE = 5  # positions that the projector folds at once

# The database's clock is a row: the names are looked up where they stand first. Functions that fix their path are told so too.
_MAKE_CLOCK = """
    create table simulated_clock (at timestamptz not null);
    insert into simulated_clock values ('2026-01-27 10:30Z');
    create function clock_timestamp() returns timestamptz language sql volatile
        as 'select at from public.simulated_clock';
    create function statement_timestamp() returns timestamptz language sql stable
        as 'select at from public.simulated_clock';
    do $$
    declare own regprocedure;
    begin
        execute format('alter database %I set search_path = public, pg_catalog', current_database());
        for own in select oid from pg_proc where pronamespace = 'public'::regnamespace and proconfig is not null loop
            execute format('alter function %s set search_path = public, pg_catalog', own);
        end loop;
    end $$;
"""
_WIPE = """
    alter table events disable trigger user;
    delete from events where position > {position};
    alter table events enable always trigger immutable_rows;
    alter table events enable always trigger immutable_table;
    delete from jobs;
    update checkpoints set position = 0;
    delete from idempotency_keys k where not exists (select from events e where e.job_id = k.job_id);
"""
_FORGET_PROCESSES = """
    delete from workers;
    update dispatcher_lease set holder = null, expires_at = '-infinity', relayed_position = 0;
"""


class World:
    """Servers, adapters, and the time."""

    def __init__(self, postgres_url: str, redis_url: str) -> None:
        self.postgres_url = postgres_url
        self.redis_url = redis_url
        self.io_loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.faults = Faults()
        self.database: Database = connected(postgres_url)
        self.by_hand: Any = redis.Redis.from_url(
            redis_url
        )  # redis-py types its answers as those of both kinds of client
        self.copy: dict[bytes, bytes] | None = None
        self._ids = 0
        self.model = Model(lambda: self.now)
        self._appending = SharedConnection(postgres_url)
        self.projection = FaultyProjection(postgres_url, page=PAGE, faults=self.faults)
        self.feed = PostgresQueueFeed(postgres_url)
        self.connection = _OneConnection(postgres_url)
        self.dispatch = _TalliedDispatch(self)
        self.jobs = PostgresJobReader(self.connection)
        self.registry = _TalliedRegistry(postgres_url, self)
        self.redis = make_faulty(connect_redis(redis_url, name="simulation"), self.faults)

    def new_log(self, *, patience: float | None) -> FaultyLog:
        """The log for one process."""
        return FaultyLog(self._appending, patience=patience, faults=self.faults, judge=self.model.judge_append)

    @property
    def now(self) -> datetime:
        """The database's time."""
        return _BEGINNING + timedelta(milliseconds=self.clock.milliseconds)

    def begin(self) -> None:
        """Wipe everything, for the next run."""
        self.clock.milliseconds = Clock().milliseconds
        self.faults.clear()
        self.faults.delayed.clear()
        self.copy = None
        self._ids = 0
        self.model = Model(lambda: self.now)
        self.database.execute(_WIPE.format(position=0) + _FORGET_PROCESSES)
        self.by_hand.flushdb()
        self.tell_time()

    def io(self, work: Awaitable[T]) -> T:
        """Wait for the outside."""
        return self.io_loop.run_until_complete(_waited_for(work))

    def perform(self, *calls: Call) -> None:
        """Do what the calls ask for, all at once."""
        for call, answer in zip(calls, self.io(_all_of(calls, self.faults)), strict=True):
            call.is_performed = True
            if isinstance(answer, Exception):
                call.error = answer
                if not isinstance(answer, Unavailable):
                    raise answer
            else:
                call.answer = answer
                self._judge(call)

    def pass_time(self, seconds: float) -> None:
        # PostgreSQL looks each second whether somebody still waits (client_connection_check_interval).
        while seconds >= 1.0 and (late := [n for n, (place, _) in enumerate(self.faults.delayed) if place == "log"]):
            self.let_delayed_arrive(late[0])
        self.clock.milliseconds += round(seconds * 1000)
        self.tell_time()

    def tell_time(self) -> None:
        """Set the database's clock."""
        self.database.execute("update simulated_clock set at = %s", [self.now])

    def let_delayed_arrive(self, index: int) -> None:
        """A command arrives that its client has given up long ago."""
        _, arrive = self.faults.delayed.pop(index)
        self.io(arrive())

    def fold(self) -> bool:
        """Let the projector fold a page; whether it did. Its table is judged."""
        try:
            page = self.io(self.projection.fold_page())
        except Unavailable:
            page = None
        self.model.judge_table(read_jobs(self.database), checkpoint(self.database))
        return page is not None and page.rows > 0

    def restore_postgres(self, position: int) -> None:
        """Back to the moment after that position; what came later is gone, and the read table is an old one."""
        self.database.execute(_WIPE.format(position=position))
        self.faults.delayed.clear()
        self.model.restore(position)
        # Whoever ran something at that moment had its row.
        for worker in sorted({job.worker for job in self.model.jobs.values() if job.worker is not None}):
            self.registry.register(worker)
            self.model.mourned.add(worker)

    def copy_redis(self) -> None:
        self.copy = {key: self.by_hand.dump(key) for key in self.by_hand.keys("*")}

    def roll_redis_back(self) -> None:
        assert self.copy is not None
        with self.by_hand.pipeline() as pipeline:
            pipeline.flushdb()
            for key, value in self.copy.items():
                pipeline.restore(key, 0, value)
            pipeline.execute()

    def new_job_id(self) -> str:
        """As version 7 has it: later ones sort later. The same in each run."""
        self._ids += 1
        return str(UUID(int=(0x0190F5FE << 96) | (0x7 << 76) | (0x8 << 60) | self._ids))

    def _judge(self, call: Call) -> None:
        match call.port, call.method:
            case "log", "append":
                self.model.judge_told(call.arguments[0], call.answer)
            case "jobs", "find":
                self.model.judge_row(call.answer, call.arguments[0])

    def close(self) -> None:
        self.io(self._appending.aclose())
        self.io(self.projection.aclose())
        self.io(self.feed.aclose())
        self.io(self.connection.aclose())
        self.io(self.redis.aclose())
        self.registry.close()
        self.by_hand.close()
        self.database.close()
        self.io_loop.close()


@contextmanager
def simulated_world(postgres_url: str, redis_url: str) -> Iterator[World]:
    """A world over a migrated database that nobody else uses, and over Redis."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(_MAKE_CLOCK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "wait_random_exponential", lambda **_: wait_none())
        world = World(postgres_url, redis_url)
        try:
            yield world
        finally:
            world.close()


class _TalliedRegistry(PostgresWorkerRegistry):
    """The model hears who is registered."""

    def __init__(self, url: str, world: World) -> None:
        super().__init__(url)
        self._world = world

    def register(self, worker: str) -> None:
        super().register(worker)
        self._world.model.log.workers.add(worker)

    def deregister(self, worker: str) -> None:
        super().deregister(worker)
        self._world.model.log.workers.discard(worker)


class _TalliedDispatch(PostgresDispatch):
    """The model hears who is given up."""

    def __init__(self, world: World) -> None:
        super().__init__(cast("Any", world.connection), holder="simulation")
        self._world = world

    async def remove(self, worker: str, *, counter: int) -> bool:
        is_removed = await super().remove(worker, counter=counter)
        if is_removed:
            self._world.model.log.workers.discard(worker)
        return is_removed


class _OneConnection:
    """Lends the same connection to everybody, one after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AsyncConnection[Any] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        if self._connection is None:
            self._connection = await connect(self._url, application="simulation")
        yield self._connection

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.close()


async def _waited_for(work: Awaitable[T]) -> T:
    return await work


async def _all_of(calls: Sequence[Call], faults: Faults) -> list[Any]:
    return await asyncio.gather(*(_performed(call, faults) for call in calls), return_exceptions=True)


async def _performed(call: Call, faults: Faults) -> Any:
    if call.port not in _READS:  # what has no faults of its own
        return await call.perform()
    kind = faults.strike("reads")
    answer = None if kind in ("before", "delayed") else await call.perform()
    if kind is not None:
        raise Unavailable(f"lost: {kind}", dependency="PostgreSQL")
    return answer
