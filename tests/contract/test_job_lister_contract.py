"""What JobLister promises, over the fake and over PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_lister import PostgresJobLister
from adapters.postgres.jobs_projection import PostgresJobsProjection
from commands.list_jobs import JobFilter, JobLister
from commands.ports import Append, Appended, EventLog
from domain.events import Attempted, Cancelled, Completed, Created, Event, Failed, NewEvent, Started
from domain.ids import least_id_at
from domain.job import STATUSES, Status
from tests.fakes.event_log import FakeEventLog
from tests.fakes.job_lister import FakeJobLister
from tests.real_log import connected, register_workers

EXAMINED = 7  # fewer than there are jobs in the tests, so that pages end before they are full
STARTED = Started(attempt=1, worker="w1")
# How a job comes to a status, after its Created.
WAYS: dict[Status, tuple[Event, ...]] = {
    "pending": (STARTED, Attempted(attempt=1, worker="w1", outcome="error", retry_after=5.0, used=1)),
    "processing": (STARTED,),
    "completed": (STARTED, Completed(attempt=1, worker="w1")),
    "failed": (STARTED, Failed(attempt=1, worker="w1", outcome="error", permanent=True)),
    "cancelled": (Cancelled(reason="no use"),),
}


class Bench(Struct):
    """A log, lists of its jobs, and what brings them up to it."""

    log: EventLog
    lists: JobLister
    project: Callable[[], Awaitable[None]]


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def bench(database: str | None) -> AsyncIterator[Bench]:
    if database is None:
        fake = FakeEventLog()
        fake.workers.add("w1")

        async def nothing() -> None:
            """What this log needs: its lists do not lag."""

        yield Bench(fake, FakeJobLister(fake, examined=EXAMINED), nothing)
        return
    with connected(database) as db:
        register_workers(db, ["w1"])
    projection = PostgresJobsProjection(database)

    async def project() -> None:
        while (page := await projection.fold_page()) is None or page.rows:
            pass

    async with AsyncExitStack() as opened:
        opened.push_async_callback(projection.aclose)
        log = await opened.enter_async_context(PostgresEventLog(database, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(database, size=2, application="contract"))
        yield Bench(log, PostgresJobLister(pool, examined=EXAMINED), project)


async def create(
    bench: Bench, *, status: Status | None = None, type: str = "T", priority: str = "high", tags: tuple[str, ...] = ()
) -> str:
    """A job that has come to that status (None: it is just created)."""
    job_id = str(uuid_utils.uuid7())
    created = Created(
        type=type, priority="high" if priority == "high" else "default", attempt=1, used=0, max_attempts=3, tags=tags
    )
    for version, event in enumerate((created, *(WAYS[status] if status else ()))):
        content = b'"an error"' if isinstance(event, Attempted | Failed) else b'{"large": true}'
        [answer] = await bench.log.append([Append(job_id, version, [NewEvent(event, content)], "w1")])
        assert isinstance(answer, Appended)
    return job_id


async def walk(bench: Bench, wanted: JobFilter, *, limit: int) -> list[str]:
    """The ids on all pages, from the newest on."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await bench.lists.page(wanted, cursor=cursor, limit=limit)
        assert len(page.jobs) <= limit
        found += [job.id for job in page.jobs]
        if page.cursor is None:
            return found
        cursor = page.cursor


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_all_jobs_come_once_and_the_newest_first(bench: Bench, limit: int) -> None:
    ids = [await create(bench) for _ in range(10)]
    await bench.project()

    assert await walk(bench, JobFilter(), limit=limit) == ids[::-1]


async def test_an_empty_log_has_one_empty_page(bench: Bench) -> None:
    page = await bench.lists.page(JobFilter(), cursor=None, limit=5)

    assert (page.jobs, page.cursor) == ([], None)


async def test_a_page_that_holds_the_last_job_has_no_next(bench: Bench) -> None:
    ids = [await create(bench) for _ in range(4)]
    await bench.project()

    first = await bench.lists.page(JobFilter(), cursor=None, limit=2)
    last = await bench.lists.page(JobFilter(), cursor=first.cursor, limit=2)
    assert [job.id for job in first.jobs + last.jobs] == ids[::-1]
    assert first.cursor is not None
    assert last.cursor is None


async def test_a_job_in_a_list_is_as_it_stands_without_its_result(bench: Bench) -> None:
    failed, done = await create(bench, status="failed"), await create(bench, status="completed", priority="default")
    await bench.project()

    second, first = (await bench.lists.page(JobFilter(), cursor=None, limit=5)).jobs
    assert (first.id, first.status, first.error, first.priority, first.version) == (
        failed,
        "failed",
        b'"an error"',
        "high",
        3,
    )
    assert (second.id, second.status, second.priority, second.attempts) == (done, "completed", "default", 1)
    assert second.result is None


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_is_found_however_far_apart_its_jobs_are(bench: Bench, status: Status) -> None:
    ids = []
    for _ in range(3):
        for other in STATUSES:
            if other != status:
                await create(bench, status=other)
        ids.append(await create(bench, status=status))
    await bench.project()

    assert await walk(bench, JobFilter(status=status), limit=2) == ids[::-1]


async def test_filters_add_up(bench: Bench) -> None:
    wanted = JobFilter(status="failed", type="RARE", priority="default")
    for type in ("T", "RARE"):
        for priority in ("high", "default"):
            for status in ("failed", "completed"):
                await create(bench, status=status, type=type, priority=priority)
    await bench.project()

    [job_id] = await walk(bench, wanted, limit=5)
    [job] = [j for j in (await bench.lists.page(JobFilter(), cursor=None, limit=9)).jobs if j.id == job_id]
    assert (job.status, job.type, job.priority) == ("failed", "RARE", "default")
    assert await walk(bench, JobFilter(type="RARE", priority="high"), limit=3) != []
    assert await walk(bench, JobFilter(type="NONE"), limit=3) == []


async def test_a_tag_is_found_among_others(bench: Bench) -> None:
    ids = [await create(bench, tags=tags) for tags in ((), ("a",), ("b", "a"), ("b",), (), ("a", "c"))]
    await bench.project()

    assert await walk(bench, JobFilter(tag="a"), limit=2) == [ids[5], ids[2], ids[1]]
    assert await walk(bench, JobFilter(tag="c"), limit=2) == [ids[5]]
    assert await walk(bench, JobFilter(tag="d"), limit=2) == []


async def test_a_time_range_holds_its_beginning_and_not_its_end(bench: Bench) -> None:
    ids = []
    for _ in range(9):
        ids.append(await create(bench))
        await asyncio.sleep(0.002)  # so that each has a millisecond of its own
    await bench.project()
    jobs = {job.id: job for job in (await bench.lists.page(JobFilter(), cursor=None, limit=9)).jobs}
    begin, end = jobs[ids[2]].created_at, jobs[ids[6]].created_at

    assert await walk(bench, JobFilter(created_after=begin, created_before=end), limit=3) == ids[2:6][::-1]
    assert await walk(bench, JobFilter(created_after=begin), limit=3) == ids[2:][::-1]
    assert await walk(bench, JobFilter(created_before=end), limit=3) == ids[:6][::-1]


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
async def test_the_first_and_the_last_time_there_is_are_times_like_others(bench: Bench, at: datetime) -> None:
    job_id = await create(bench)
    await bench.project()

    is_past = at.year == 1
    assert await walk(bench, JobFilter(created_after=at), limit=3) == ([job_id] if is_past else [])
    assert await walk(bench, JobFilter(created_before=at), limit=3) == ([] if is_past else [job_id])


async def test_whoever_follows_the_pages_while_jobs_are_written_meets_each_earlier_one_once(bench: Bench) -> None:
    ids = [await create(bench) for _ in range(30)]
    await bench.project()
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await bench.lists.page(JobFilter(), cursor=cursor, limit=4)
        found += [job.id for job in page.jobs]
        if page.cursor is None:
            break
        cursor = page.cursor
        await create(bench)
        job_id = ids[len(found) % len(ids)]
        await bench.log.append([Append(job_id, 1, [NewEvent(STARTED)], "w1")])
        await bench.project()

    assert len(found) == len(set(found))
    assert [job_id for job_id in found if job_id in ids] == ids[::-1]


def test_the_least_id_of_a_time_is_below_all_that_are_made_from_then_on() -> None:
    now = datetime.now(UTC)
    made = str(uuid_utils.uuid7())

    assert least_id_at(now - timedelta(milliseconds=1)) < made < least_id_at(now + timedelta(minutes=1))
    assert least_id_at(datetime.min.replace(tzinfo=UTC)) == "00000000-0000-0000-0000-000000000000"
    assert least_id_at(datetime.max.replace(tzinfo=UTC)) < "ffffffff-ffff-ffff-ffff-ffffffffffff"
