"""What every QueuedJobs promises: the fake, and the one over PostgreSQL with the real log and the real read side behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

import psycopg
import pytest
import uuid_utils

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_reader import Connections
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queued_jobs import PostgresQueuedJobs
from commands.ports import Append, Appended, EventLog, QueueEntry, Unavailable
from commands.queue_ports import DIRECTLY, QueuedJobs
from domain import job as verbs
from domain.events import Attempted, Event, NewEvent, Priority, Queued, Started
from tests.fakes.event_log import FakeEventLog
from tests.fakes.queued_jobs import FakeQueuedJobs


class Bench(Protocol):
    log: EventLog

    def queued_jobs(self, worker: str, *types: str) -> QueuedJobs:
        """As a worker of that name sees them; it is registered."""

    async def project(self) -> None:
        """Bring the read side to the log's head."""


class FakeBench:
    def __init__(self) -> None:
        self._log = FakeEventLog()
        self.log: EventLog = self._log
        self._given: list[FakeQueuedJobs] = []

    def queued_jobs(self, worker: str, *types: str) -> QueuedJobs:
        self._log.workers.add(worker)
        self._given.append(FakeQueuedJobs(self._log, worker=worker, job_types=types or ["A"]))
        self._given[-1].shown = 0
        return self._given[-1]

    async def project(self) -> None:
        for given in self._given:
            given.shown = len(self._log.events)


class PostgresBench:
    def __init__(self, url: str, log: EventLog, pool: Connections, projection: PostgresJobsProjection) -> None:
        self.log = log
        self._url = url
        self._pool = pool
        self._projection = projection

    def queued_jobs(self, worker: str, *types: str) -> QueuedJobs:
        with psycopg.connect(self._url, autocommit=True) as db:
            db.execute("insert into workers (id) values (%s) on conflict do nothing", [worker])
        return PostgresQueuedJobs(self._pool, worker=worker, job_types=types or ["A"])

    async def project(self) -> None:
        while (page := await self._projection.fold_page()) is None or page.rows:
            pass


@asynccontextmanager
async def postgres_bench(url: str) -> AsyncIterator[PostgresBench]:
    async with (
        PostgresEventLog(url, application="contract", patience=10.0) as log,
        make_pool(url, size=1, application="contract") as pool,
        aclosing(PostgresJobsProjection(url)) as projection,
    ):
        yield PostgresBench(url, log, pool, projection)


@pytest.fixture(params=["fake", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """None: the fake is meant. Not async, since making a database is not."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[Bench]:
    if url is None:
        yield FakeBench()
        return
    async with postgres_bench(url) as bench:
        yield bench


async def append(log: EventLog, job_id: str, expected: int, *events: Event) -> None:
    [answer] = await log.append([Append(job_id, expected, [NewEvent(event) for event in events], "w")])
    assert isinstance(answer, Appended), answer


async def create(
    log: EventLog, priority: Priority = "default", *, type: str = "A", count: int = 1, delay: float | None = None
) -> list[str]:
    events = verbs.create(type=type, priority=priority, payload=b"{}", max_attempts=3, delay=delay)
    jobs = [str(uuid_utils.uuid7()) for _ in range(count)]
    answers = await log.append([Append(job_id, 0, events, "client") for job_id in jobs])
    assert all(isinstance(answer, Appended) for answer in answers)
    return jobs


async def start(log: EventLog, *jobs: str) -> None:
    for job_id in jobs:
        await append(log, job_id, 1, Started(attempt=1, worker="w"))


def ids(entries: Collection[QueueEntry]) -> list[str]:
    return [entry.job_id for entry in entries]


async def seen(jobs: QueuedJobs, *, limit: int = 10, wanted: int = 10) -> tuple[list[str], list[str]]:
    head = await jobs.head(limit=limit, wanted=wanted)
    return ids(head.high), ids(head.default)


async def test_queued_jobs_come_by_priority_in_the_order_in_which_they_were_queued(bench: Bench) -> None:
    jobs = bench.queued_jobs("w")
    [first] = await create(bench.log)
    [delayed] = await create(bench.log, delay=60)
    high = await create(bench.log, "high", count=2)
    [last] = await create(bench.log)
    queued = Queued(type="A", priority="default", attempt=1, used=0, max_attempts=3)
    await append(bench.log, delayed, 1, queued)
    await bench.project()

    head = await jobs.head(limit=10, wanted=10)

    assert head.high == [
        QueueEntry(DIRECTLY, "3-0", high[0], 1, "A", 1),
        QueueEntry(DIRECTLY, "4-0", high[1], 1, "A", 1),
    ]
    assert ids(head.default) == [first, last, delayed]
    assert head.default[-1] == QueueEntry(DIRECTLY, "6-0", delayed, 2, "A", 1)


async def test_those_of_default_priority_are_left_out_where_the_others_are_enough(bench: Bench) -> None:
    jobs = bench.queued_jobs("w")
    default = await create(bench.log)
    high = await create(bench.log, "high", count=2)
    await bench.project()

    assert await seen(jobs, wanted=2) == (high, [])
    assert await seen(jobs, wanted=3) == (high, default)
    assert await seen(jobs, limit=2, wanted=3) == (high, [])  # there may be more of them


async def test_what_somebody_has_started_is_left_out_however_late_the_read_side_is(bench: Bench) -> None:
    jobs = bench.queued_jobs("w")
    default = await create(bench.log, count=4)
    high = await create(bench.log, "high", count=3)
    await bench.project()
    await start(bench.log, default[0], default[2], high[0], high[1])

    assert await seen(jobs) == (high[2:], [default[1], default[3]])
    assert await seen(jobs, limit=3) == (high[2:], [default[1], default[3]])
    await start(bench.log, default[1], default[3], high[2])
    assert await seen(jobs) == ([], [])
    await bench.project()
    assert await seen(jobs) == ([], [])


async def test_what_the_read_side_does_not_show_yet_is_not_there(bench: Bench) -> None:
    jobs = bench.queued_jobs("w")
    await create(bench.log)

    assert await seen(jobs) == ([], [])


async def test_a_job_that_is_queued_again_comes_again(bench: Bench) -> None:
    jobs = bench.queued_jobs("w")
    [job_id] = await create(bench.log, "high")
    await start(bench.log, job_id)
    await bench.project()
    assert await seen(jobs) == ([], [])
    released = Attempted(attempt=1, worker="w", outcome="released", retry_after=0.0, used=0)
    queued = Queued(type="A", priority="high", attempt=2, used=0, max_attempts=3)
    await append(bench.log, job_id, 2, released, queued)
    await bench.project()

    head = await jobs.head(limit=10, wanted=10)

    assert [(entry.job_id, entry.version, entry.attempt) for entry in head.high] == [(job_id, 4, 2)]


async def test_only_types_that_the_worker_knows_come(bench: Bench) -> None:
    jobs = bench.queued_jobs("w", "A", "B")
    await create(bench.log, type="C", count=30)
    known = [*await create(bench.log, type="B"), *await create(bench.log)]
    await create(bench.log, "high", type="C", count=30)
    await bench.project()

    assert await seen(jobs, limit=10) == ([], known)


async def test_each_of_several_workers_has_a_place_of_its_own(bench: Bench) -> None:
    several = [bench.queued_jobs(name) for name in ("w2", "w1", "w3")]
    heads = [await jobs.head(limit=1, wanted=1) for jobs in several]

    assert [(head.rank, head.workers) for head in heads] == [(1, 3), (0, 3), (2, 3)]


async def test_an_outage_is_said_and_everything_is_looked_at_anew_after_it(postgres_url: str) -> None:
    async with postgres_bench(postgres_url) as bench:
        jobs = bench.queued_jobs("w")
        await start(bench.log, *await create(bench.log))
        await bench.project()
        assert await seen(jobs) == ([], [])

        # A database that is restored to an earlier moment gives positions out again.
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute("update jobs set queued_position = 1")
            db.execute("alter table events disable trigger all")
            db.execute("delete from events where version > 1")
            db.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'contract'")
        with pytest.raises(Unavailable):
            await seen(jobs)
        assert len((await seen(jobs))[1]) == 1
