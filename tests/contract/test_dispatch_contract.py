"""What WaitingJobs, WorkerTable and WorkerRegistry promise, over the fake and over PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from commands.dispatch_ports import WaitingJobs, WorkerTable
from commands.liveness import RunningAttempt, WorkerRegistry
from commands.ports import Append, Appended, EventLog
from domain.events import CancelRequested, Completed, Created, Event, NewEvent, Started
from tests.fakes.dispatch import FakeDatabase
from tests.fakes.event_log import FakeEventLog
from tests.until import until


class World(Struct):
    """The ports over one database. `seen`: the read side has caught up; `let_pass`: so much time has gone by."""

    log: EventLog
    waiting: WaitingJobs
    table: WorkerTable
    registry: WorkerRegistry
    seen: Callable[[], Awaitable[None]]
    let_pass: Callable[[timedelta], None]


@pytest.fixture(params=["fake", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """A database's URL, or None for the fake."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def world(url: str | None) -> AsyncIterator[World]:
    if url is None:
        fake_log = FakeEventLog()
        fake = FakeDatabase(fake_log)

        async def nothing() -> None:
            pass

        def run_ahead(time: timedelta) -> None:
            fake.elapsed += time

        yield World(fake_log, fake, fake, fake, nothing, run_ahead)
        return
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(url, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(url, size=2, application="contract"))
        dispatch = PostgresDispatch(pool, holder="me")
        registry = PostgresWorkerRegistry(url)
        opened.callback(registry.close)
        projection = PostgresJobsProjection(url)
        opened.push_async_callback(projection.aclose)

        async def fold() -> None:
            while (page := await projection.fold_page()) is None or page.rows:
                pass

        def set_back(time: timedelta) -> None:
            with psycopg.connect(url, autocommit=True) as db:
                db.execute("update jobs set updated_at = updated_at - %s, due_at = due_at - %s", [time, time])

        yield World(log, dispatch, dispatch, registry, fold, set_back)


async def append(world: World, job_id: str, expected: int, *events: Event, actor: str = "w1") -> None:
    [answer] = await world.log.append([Append(job_id, expected, [NewEvent(event) for event in events], actor)])
    assert isinstance(answer, Appended), answer


async def created(world: World, *, delay: float | None = None, run_at: datetime | None = None) -> str:
    job_id = str(uuid_utils.uuid7())
    event = Created(type="T", priority="default", attempt=1, used=0, max_attempts=3, delay=delay, run_at=run_at)
    await append(world, job_id, 0, event)
    return job_id


async def started(world: World, worker: str = "w1") -> str:
    world.registry.register(worker)
    job_id = await created(world)
    await append(world, job_id, 1, Started(attempt=1, worker=worker), actor=worker)
    await world.seen()
    return job_id


async def test_what_is_due_is_given_longest_overdue_first_and_what_is_not_waits(world: World) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    later = await created(world, run_at=past + timedelta(days=1))
    sooner = await created(world, run_at=past)
    await created(world, delay=3600.0)
    await created(world)
    await world.seen()

    due = await world.waiting.due(limit=10)

    assert [job.id for job in due.jobs] == [sooner, later]
    assert due.next_in is None
    assert [job.id for job in (await world.waiting.due(limit=1)).jobs] == [sooner]


async def test_what_becomes_due_soon_is_announced(world: World) -> None:
    job_id = await created(world, delay=3600.0)
    await world.seen()

    world.let_pass(timedelta(seconds=3599.9))

    announced = await world.waiting.due(limit=10)
    assert announced.jobs or (announced.next_in is not None and announced.next_in <= 0.1)
    world.let_pass(timedelta(seconds=0.2))

    async def is_due() -> bool:
        return [job.id for job in (await world.waiting.due(limit=10)).jobs] == [job_id]

    await until(is_due)


async def test_each_beat_raises_the_counter(world: World) -> None:
    world.registry.register("w1")
    world.registry.register("w1")
    assert world.registry.beat("w1", [], claims_from="streams").alive
    assert world.registry.beat("w1", [], claims_from="streams").alive
    assert await world.table.counters() == {"w1": 2}


async def test_a_worker_is_removed_only_if_its_counter_has_stood_still(world: World) -> None:
    world.registry.register("w1")
    world.registry.beat("w1", [], claims_from="streams")

    assert not await world.table.remove("w1", counter=0)
    assert await world.table.remove("w1", counter=1)
    assert not await world.table.remove("w1", counter=1)

    assert not world.registry.beat("w1", [], claims_from="streams").alive
    assert await world.table.counters() == {}


async def test_a_worker_that_ended_has_no_row(world: World) -> None:
    world.registry.register("w1")
    world.registry.deregister("w1")
    assert await world.table.counters() == {}


async def test_orphans_are_the_running_jobs_of_workers_without_a_row(world: World) -> None:
    of_the_living = await started(world, "w1")
    of_the_dead = await started(world, "w2")
    await world.table.remove("w2", counter=0)

    orphans = await world.table.orphans(limit=10)

    assert [(job.id, job.worker, job.attempts) for job in orphans] == [(of_the_dead, "w2", 1)]
    assert of_the_living not in [job.id for job in orphans]


async def test_a_beat_tells_what_was_cancelled_and_what_was_closed(world: World) -> None:
    quiet, cancelled, closed = [await started(world) for _ in range(3)]
    await append(world, cancelled, 2, CancelRequested(), actor="somebody")
    await append(world, closed, 2, Completed(attempt=1, worker="w1"), actor="somebody")

    answer = world.registry.beat(
        "w1", [RunningAttempt(job_id, 2) for job_id in (quiet, cancelled, closed)], claims_from="streams"
    )

    assert (list(answer.cancelled), list(answer.closed), list(answer.strays)) == ([cancelled], [closed], [])


async def test_a_beat_names_strays_only_after_a_while(world: World) -> None:
    known, unknown = await started(world), await started(world)

    assert list(world.registry.beat("w1", [RunningAttempt(known, 2)], claims_from="streams").strays) == []
    world.let_pass(timedelta(seconds=11))

    assert list(world.registry.beat("w1", [RunningAttempt(known, 2)], claims_from="streams").strays) == [unknown]


async def test_the_lease_is_held_by_one_until_it_is_given_up_or_runs_out(postgres_url: str) -> None:
    async with make_pool(postgres_url, size=2, application="contract") as pool:
        first, second = PostgresDispatch(pool, holder="a"), PostgresDispatch(pool, holder="b")

        held = await asyncio.gather(*(d.hold(relayed_position=7, redis_state="ok") for d in (first, second)))
        assert sorted(held) == [False, True]
        leader, other = (first, second) if held[0] else (second, first)
        assert await leader.hold(relayed_position=8, redis_state="ok")
        assert not await other.hold(relayed_position=0, redis_state="unknown")

        await leader.give_up()
        assert await other.hold(relayed_position=9, redis_state="ok")

        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute("update dispatcher_lease set expires_at = clock_timestamp() - interval '1 millisecond'")
            assert await leader.hold(relayed_position=10, redis_state="away")
            row = db.execute("select relayed_position, redis_state from dispatcher_lease").fetchone()
        assert row == (10, "away")


async def test_only_keys_past_their_time_are_swept(postgres_url: str) -> None:
    async with make_pool(postgres_url, size=1, application="contract") as pool:
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute(
                "insert into idempotency_keys (actor, key, body_digest, job_id, created_at) "
                "select 'a', n::text, '', gen_random_uuid(), clock_timestamp() - make_interval(hours => n) "
                "from generate_series(0, 30, 10) n"
            )
            assert await PostgresDispatch(pool, holder="a").sweep(older_than_hours=15.0) == 2
            assert db.execute("select array_agg(key order by key) from idempotency_keys").fetchone() == (["0", "10"],)
