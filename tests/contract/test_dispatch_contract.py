"""What the dispatcher's and the heartbeats' ports promise, and HealthReader, over the fake and over PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.health_reader import PostgresHealthReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from commands.dispatch_ports import ExpiredKeys, Lease, WaitingJobs, WorkerTable
from commands.health import NOTHING_KNOWN, Health, HealthReader, WorkerBeat
from commands.liveness import RunningAttempt, WorkerRegistry
from commands.ports import Answer, Append, Appended, EventLog, IdempotencyKey, Repeated, Unavailable
from domain.events import CancelRequested, Completed, Created, Event, NewEvent, Started
from domain.job import TRANSITIONS
from tests.conftest import free_port
from tests.fakes.dispatch import FakeDatabase, FakeLease
from tests.fakes.event_log import FakeEventLog
from tests.until import until


class World(Struct):
    """The ports over one database. `seen`: the read side has caught up; `let_pass`: so much time has gone by."""

    log: EventLog
    waiting: WaitingJobs
    table: WorkerTable
    registry: WorkerRegistry
    keys: ExpiredKeys
    health: HealthReader
    lease_of: Callable[[str], Lease]
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

        async def show() -> None:
            fake.checkpoint = len(fake_log.events)

        def run_ahead(time: timedelta) -> None:
            fake.elapsed += time

        yield World(
            log=fake_log,
            waiting=fake,
            table=fake,
            registry=fake,
            keys=fake,
            health=fake,
            lease_of=lambda holder: FakeLease(fake, holder=holder),
            seen=show,
            let_pass=run_ahead,
        )
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
                db.execute("update idempotency_keys set created_at = created_at - %s", [time])
                db.execute(
                    "update dispatcher_lease set expires_at = expires_at - %s, reported_at = reported_at - %s",
                    [time, time],
                )

        yield World(
            log=log,
            waiting=dispatch,
            table=dispatch,
            registry=registry,
            keys=dispatch,
            health=PostgresHealthReader(pool, transitions=TRANSITIONS),
            lease_of=lambda holder: PostgresDispatch(pool, holder=holder),
            seen=fold,
            let_pass=set_back,
        )


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


async def test_the_lease_is_held_by_one_until_it_is_given_up_or_runs_out(world: World) -> None:
    first, second = world.lease_of("a"), world.lease_of("b")

    held = await asyncio.gather(*(lease.hold(relayed_position=7, redis_state="ok") for lease in (first, second)))
    assert sorted(held) == [False, True]
    leader, other = (first, second) if held[0] else (second, first)
    assert await leader.hold(relayed_position=8, redis_state="ok")
    assert not await other.hold(relayed_position=0, redis_state="unknown")

    await other.give_up()  # what it does not have
    assert not await other.hold(relayed_position=0, redis_state="unknown")
    await leader.give_up()
    assert await other.hold(relayed_position=9, redis_state="ok")
    assert not await leader.hold(relayed_position=10, redis_state="ok")

    world.let_pass(timedelta(seconds=6))
    assert await leader.hold(relayed_position=10, redis_state="ok")


async def test_a_lease_of_the_time_before_the_clock_stepped_back_is_nobodys(world: World) -> None:
    first, second = world.lease_of("a"), world.lease_of("b")
    assert await first.hold(relayed_position=7, redis_state="ok")

    world.let_pass(timedelta(hours=-2))

    assert await second.hold(relayed_position=7, redis_state="ok")
    assert not await first.hold(relayed_position=7, redis_state="ok")


async def test_only_keys_past_their_time_are_swept_and_may_be_used_again(world: World) -> None:
    events = [NewEvent(Created(type="T", priority="default", attempt=1, used=0, max_attempts=3))]

    async def create(key: str) -> Answer:
        append = Append(str(uuid_utils.uuid7()), 0, events, "client", IdempotencyKey(key, b"digest"))
        [answer] = await world.log.append([append])
        return answer

    assert isinstance(await create("old"), Appended)
    world.let_pass(timedelta(hours=15))
    assert await world.keys.sweep(older_than_hours=15.1) == 0
    world.let_pass(timedelta(hours=1))
    assert await world.keys.sweep(older_than_hours=15.1) == 1
    assert await world.keys.sweep(older_than_hours=15.1) == 0
    assert isinstance(await create("old"), Appended)
    assert isinstance(await create("old"), Repeated)


async def test_of_a_new_service_nothing_but_its_schema_is_known(world: World) -> None:
    assert await world.health.read() == Health(
        schema_fits=True,
        head=0,
        projected=0,
        projection_age=None,
        relayed=0,
        dispatcher=None,
        redis_state="unknown",
        redis_reported_at=None,
        redis_report_age=None,
        workers=0,
    )
    assert await world.health.workers() == {}


async def test_how_far_the_read_side_is_behind_is_known_and_since_when(world: World) -> None:
    for _ in range(3):
        await created(world)
    behind = await world.health.read()
    await world.seen()
    there = await world.health.read()

    assert (behind.head, behind.projected) == (3, 0)
    assert behind.projection_age is not None
    assert 0 <= behind.projection_age < 60
    assert (there.head, there.projected, there.projection_age) == (3, 3, None)


async def test_who_leads_and_what_it_reports_is_known_as_long_as_its_lease_holds(world: World) -> None:
    await world.lease_of("a").hold(relayed_position=7, redis_state="Error 111")
    leads = await world.health.read()
    world.let_pass(timedelta(seconds=60))
    gone = await world.health.read()

    assert (leads.dispatcher, leads.relayed, leads.redis_state) == ("a", 7, "Error 111")
    assert leads.redis_reported_at is not None
    assert leads.redis_report_age is not None
    assert 0 <= leads.redis_report_age < 30
    assert (gone.dispatcher, gone.relayed, gone.redis_state) == (None, 7, "Error 111")
    assert gone.redis_report_age is not None
    assert gone.redis_report_age >= 60


async def test_where_each_worker_claims_is_known_by_its_last_beat(world: World) -> None:
    for worker in ("w1", "w2", "w3", "w4"):
        world.registry.register(worker)
    world.registry.beat("w1", [], claims_from="streams")
    world.registry.beat("w2", [], claims_from="jobs")
    world.registry.beat("w3", [], claims_from="jobs")
    world.registry.beat("w3", [], claims_from=None)
    health = await world.health.read()

    assert (health.workers, health.workers_direct, health.workers_unable) == (4, 1, 2)
    assert await world.health.workers() == {
        "w1": WorkerBeat(1, "streams"),
        "w2": WorkerBeat(1, "jobs"),
        "w3": WorkerBeat(2, None),
        "w4": WorkerBeat(0, None),
    }


async def test_a_schema_that_does_not_fit_is_all_that_is_known(postgres_url: str) -> None:
    fake = FakeDatabase(FakeEventLog())
    fake.fits = False
    async with make_pool(postgres_url, size=1, application="contract") as pool:
        real = PostgresHealthReader(pool, transitions={*TRANSITIONS, ("Completed", "Archived")})
        assert await fake.read() == await real.read() == NOTHING_KNOWN


async def test_where_postgres_is_away_every_call_says_so() -> None:
    fake_log = FakeEventLog()
    fake_log.away = True
    fake = FakeDatabase(fake_log)
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    pool = make_pool(nowhere, size=1, application="contract")
    pool.timeout = 0.1
    async with pool:
        real = PostgresDispatch(pool, holder="a")
        reader = PostgresHealthReader(pool, transitions=TRANSITIONS)
        leases: list[Lease] = [FakeLease(fake, holder="a"), real]
        keys: list[ExpiredKeys] = [fake, real]
        readers: list[HealthReader] = [fake, reader]
        calls: list[Coroutine[Any, Any, object]] = [
            *(lease.hold(relayed_position=0, redis_state="ok") for lease in leases),
            *(lease.give_up() for lease in leases),
            *(of.sweep(older_than_hours=1.0) for of in keys),
            *(of.read() for of in readers),
            *(of.workers() for of in readers),
        ]
        for call in calls:
            with pytest.raises(Unavailable) as raised:
                await call
            assert raised.value.dependency == "PostgreSQL"
