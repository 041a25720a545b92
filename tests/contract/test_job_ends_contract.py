"""What JobEnds promises, over the fake and over PostgreSQL; and how waits rest on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_ends import PostgresJobEnds
from adapters.postgres.job_reader import PostgresJobReader
from commands.outages import Outages
from commands.ports import Append, Appended, EventLog, JobReader, Unavailable
from commands.wait_for_end import EndedPage, EndOfJobs, JobEnds
from domain.errors import LogDamaged
from domain.events import Cancelled, Completed, Created, Event, NewEvent, Started
from tests.fakes.event_log import FakeEventLog
from tests.fakes.job_ends import FakeJobEnds, listen
from tests.fakes.report import FakeReport
from tests.real_log import connected, register_workers
from tests.until import until

CREATED = Created(type="T", priority="high", attempt=1, used=0, max_attempts=3)
STARTED = Started(attempt=1, worker="w1")
COMPLETED = Completed(attempt=1, worker="w1")


class Bench(Struct):
    """A log, its reader, and what says of it that jobs end."""

    log: EventLog
    reader: JobReader
    ends: JobEnds


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def bench(database: str | None) -> AsyncIterator[Bench]:
    if database is None:
        fake = FakeEventLog()
        fake.workers.add("w1")
        yield Bench(fake, fake, FakeJobEnds(fake))
        return
    with connected(database) as db:
        register_workers(db, ["w1"])
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(database, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(database, size=2, application="contract"))
        yield Bench(log, PostgresJobReader(pool), PostgresJobEnds(pool))


async def append(bench: Bench, job_id: str, version: int, *events: Event) -> None:
    [answer] = await bench.log.append([Append(job_id, version, [NewEvent(event) for event in events], "w1")])
    assert isinstance(answer, Appended)


async def create(bench: Bench) -> str:
    job_id = str(uuid_utils.uuid7())
    await append(bench, job_id, 0, CREATED)
    return job_id


def waits(bench: Bench) -> EndOfJobs:
    return EndOfJobs(jobs=bench.reader, ends=bench.ends, listen=listen, outages=Outages(report=FakeReport()))


async def test_an_empty_log_says_nothing(bench: Bench) -> None:
    assert await bench.ends.head() == 0
    assert await bench.ends.ended_after(0, limit=5) == EndedPage(0, [])


async def test_it_names_the_jobs_that_end_and_no_others_page_by_page(bench: Bench) -> None:
    done, cancelled, runs = await create(bench), await create(bench), await create(bench)
    await append(bench, done, 1, STARTED)
    await append(bench, runs, 1, STARTED)
    await append(bench, cancelled, 1, Cancelled())
    await append(bench, done, 2, COMPLETED)

    assert await bench.ends.head() == 7
    assert await bench.ends.ended_after(0, limit=10) == EndedPage(7, [cancelled, done])
    assert await bench.ends.ended_after(0, limit=6) == EndedPage(6, [cancelled], is_full=True)
    assert await bench.ends.ended_after(6, limit=6) == EndedPage(7, [done])
    assert await bench.ends.ended_after(7, limit=6) == EndedPage(7, [])


async def test_a_job_that_has_ended_or_is_not_there_is_not_waited_for(bench: Bench) -> None:
    job_id = await create(bench)
    await append(bench, job_id, 1, Cancelled())

    async with asyncio.timeout(30):
        found = await waits(bench).find(job_id, within=3600)
        nothing = await waits(bench).find(str(uuid_utils.uuid7()), within=3600)
    assert found is not None
    assert found.status == "cancelled"
    assert nothing is None


async def test_a_job_is_found_when_it_ends(bench: Bench) -> None:
    job_id, other = await create(bench), await create(bench)
    ends = waits(bench)
    waiting = [asyncio.create_task(ends.find(job_id, within=3600)) for _ in range(700)]  # more than a pool lets queue
    longer = asyncio.create_task(ends.find(other, within=3600))
    await append(bench, job_id, 1, STARTED)
    await asyncio.sleep(0.05)  # so that the watch has begun, in one order or the other
    await append(bench, job_id, 2, COMPLETED)

    async with asyncio.timeout(30):
        for job in await asyncio.gather(*waiting):
            assert job is not None
            assert job.status == "completed"
    assert not longer.done()
    ends.close()  # and who waits is answered with what there is
    async with asyncio.timeout(30):
        job = await longer
    assert job is not None
    assert job.status == "pending"


async def test_when_the_time_is_up_it_is_found_as_it_is(bench: Bench) -> None:
    job_id = await create(bench)

    job = await waits(bench).find(job_id, within=0.05)
    assert job is not None
    assert job.status == "pending"


@pytest.mark.parametrize("moment", range(8))
async def test_an_end_is_seen_whenever_it_comes(bench: Bench, moment: int) -> None:
    job_id = await create(bench)
    waiting = asyncio.create_task(waits(bench).find(job_id, within=3600))
    await asyncio.sleep(0.001 * moment)
    await append(bench, job_id, 1, STARTED, COMPLETED)

    async with asyncio.timeout(30):
        job = await waiting
    assert job is not None
    assert job.status == "completed"


async def test_a_thousand_who_wait_cost_as_many_queries_as_one() -> None:
    log = FakeEventLog()
    bench = Bench(log, log, FakeJobEnds(log))
    ids = [await create(bench) for _ in range(1000)]
    asked = []
    for count in (1, 1000):
        ends = FakeJobEnds(log)
        follower = EndOfJobs(jobs=log, ends=ends, listen=listen, outages=Outages(report=FakeReport()))
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(follower.find(job_id, within=0.5) for job_id in ids[:count]))
        asked.append(ends.asked / (asyncio.get_running_loop().time() - began))
        follower.close()

    assert asked[1] <= asked[0] * 1.5


async def test_who_waits_through_an_outage_is_answered_after_it() -> None:
    log = FakeEventLog()
    log.workers.add("w1")
    report = FakeReport()
    bench = Bench(log, log, FakeJobEnds(log))
    job_id = await create(bench)
    ends = EndOfJobs(jobs=log, ends=bench.ends, listen=listen, outages=Outages(report=report))
    waiting = asyncio.create_task(ends.find(job_id, within=3600))
    await asyncio.sleep(0.05)
    log.away = True
    await until(lambda: bool(report.lines))
    log.away = False
    await append(bench, job_id, 1, STARTED, COMPLETED)

    async with asyncio.timeout(30):
        job = await waiting
    assert job is not None
    assert job.status == "completed"


async def test_while_the_database_is_away_nobody_is_kept_waiting() -> None:
    log = FakeEventLog()
    log.away = True

    with pytest.raises(Unavailable):
        await waits(Bench(log, log, FakeJobEnds(log))).find(str(uuid_utils.uuid7()), within=3600)


async def test_a_gap_in_the_log_is_damage(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute(
            "insert into events select n, gen_random_uuid(), 1, 'Created', '{}', null, 'a', now() from unnest(array[1, 3]) n"
        )
    async with make_pool(postgres_url, size=1, application="contract") as pool:
        with pytest.raises(LogDamaged, match="gap"):
            await PostgresJobEnds(pool).ended_after(0, limit=5)
