"""What every QueueFeed promises: the fake and the one over PostgreSQL, with the real log and the real read side behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queue_feed import PostgresQueueFeed
from commands.ports import Append, Appended, LogDamaged, QueueEntry, Unavailable
from commands.queue_ports import BEGINNING, LogEvent, Mark, QueueFeed
from domain.events import Created, Event, NewEvent, Priority, Queued, Started, encode_data
from tests.fakes.queue_feed import FakeQueueFeed


class Bench(Protocol):
    feed: QueueFeed

    async def append(self, job_id: str, version: int, event: Event) -> None: ...

    async def project(self) -> None:
        """Bring the read side to the log's head."""


class FakeBench:
    def __init__(self) -> None:
        self._fake = FakeQueueFeed(str(uuid4()))
        self._fake.checkpoint = 0
        self.feed: QueueFeed = self._fake

    async def append(self, job_id: str, version: int, event: Event) -> None:
        self._fake.append(job_id, event)

    async def project(self) -> None:
        self._fake.checkpoint = len(self._fake.events)


class PostgresBench:
    def __init__(self, log: PostgresEventLog, feed: PostgresQueueFeed, projection: PostgresJobsProjection) -> None:
        self._log = log
        self.feed: QueueFeed = feed
        self._projection = projection

    async def append(self, job_id: str, version: int, event: Event) -> None:
        (answer,) = await self._log.append([Append(job_id, version - 1, [NewEvent(event, b"{}")], "w")])
        assert isinstance(answer, Appended), answer

    async def project(self) -> None:
        page = await self._projection.fold_page()
        assert page is not None


@pytest.fixture(params=["fake", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """None: the fake is meant. Not async, since making a database is not."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[Bench]:
    if url is None:
        yield FakeBench()
        return
    with psycopg.connect(url) as connection:
        connection.execute("insert into workers (id) values ('w')")
    feed, projection = PostgresQueueFeed(url), PostgresJobsProjection(url)
    try:
        async with PostgresEventLog(url, application="tests") as log:
            yield PostgresBench(log, feed, projection)
    finally:
        await feed.aclose()
        await projection.aclose()


def created(priority: Priority = "default", **given: Any) -> Created:
    return Created(type="A", priority=priority, attempt=1, used=0, max_attempts=3, **given)


JOBS = [f"0190f5fe-7c00-7a00-8000-{number:012}" for number in range(10)]


async def test_a_page_holds_events_from_its_beginning_on(bench: Bench) -> None:
    await bench.append(JOBS[1], 1, created("high"))
    await bench.append(JOBS[1], 2, Started(attempt=1, worker="w"))
    await bench.append(JOBS[2], 1, created(delay=5))

    page = await bench.feed.log_page(begin=2, limit=10)
    first = await bench.feed.log_page(begin=0, limit=1)

    assert [replace(event, recorded_ms=0) for event in page.events] == [
        LogEvent(2, JOBS[1], 2, "Started", None),
        LogEvent(3, JOBS[2], 1, "Created", encode_data(created(delay=5)).decode()),
    ]
    assert [event.position for event in first.events] == [1]
    assert 0 < first.events[0].recorded_ms <= page.events[0].recorded_ms
    assert page.head == first.head == 3
    assert page.log_id == first.log_id


async def test_beyond_the_head_there_is_a_page_without_events(bench: Bench) -> None:
    empty = await bench.feed.log_page(begin=0, limit=10)
    await bench.append(JOBS[1], 1, created())
    beyond = await bench.feed.log_page(begin=5, limit=10)

    assert (empty.head, empty.events) == (0, [])
    assert (beyond.head, beyond.events) == (1, [])
    assert beyond.log_id == empty.log_id


async def test_queued_jobs_come_in_the_order_in_which_they_were_queued(bench: Bench) -> None:
    await bench.append(JOBS[1], 1, created(delay=60))
    await bench.append(JOBS[2], 1, created("high"))
    await bench.append(JOBS[3], 1, created())
    await bench.append(JOBS[4], 1, created(delay=60))
    await bench.append(JOBS[1], 2, Queued(type="A", priority="default", attempt=1, used=0, max_attempts=3))
    await bench.append(JOBS[3], 2, Started(attempt=1, worker="w"))
    before = await bench.feed.queued_page(after=0, limit=10)
    await bench.project()

    page = await bench.feed.queued_page(after=0, limit=10)
    rest = await bench.feed.queued_page(after=2, limit=10)
    part = await bench.feed.queued_page(after=0, limit=1)

    assert (before.checkpoint, before.entries) == (BEGINNING, [])
    assert page.entries == [
        QueueEntry("high_priority", "2-0", JOBS[2], 1, "A", 1),
        QueueEntry("default", "5-0", JOBS[1], 2, "A", 1),
    ]
    [newest] = (await bench.feed.log_page(begin=6, limit=1)).events
    assert page.checkpoint == Mark(6, JOBS[3], 2, newest.recorded_ms)
    assert rest.entries == page.entries[1:]
    assert part.entries == page.entries[:1]
    assert page.log_id == (await bench.feed.log_page(begin=0, limit=1)).log_id


async def test_an_event_is_still_queued_while_nothing_follows_it(bench: Bench) -> None:
    await bench.append(JOBS[1], 1, created())
    await bench.append(JOBS[2], 1, created())
    await bench.append(JOBS[2], 2, Started(attempt=1, worker="w"))
    entries = [QueueEntry("default", f"{number}-0", JOBS[number], 1, "A", 1) for number in (1, 2, 3)]

    assert await bench.feed.still_queued(entries) == entries[:1]
    assert await bench.feed.still_queued([]) == []


async def test_young_jobs_are_left_out_where_an_age_is_asked_for(postgres_url: str) -> None:
    feed, projection = PostgresQueueFeed(postgres_url), PostgresJobsProjection(postgres_url)
    async with PostgresEventLog(postgres_url, application="tests") as log:
        await log.append([Append(JOBS[1], 0, [NewEvent(created(), b"{}")], "w")])
    await projection.fold_page()

    young = await feed.queued_page(after=0, limit=10, min_age_seconds=3600)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update jobs set updated_at = updated_at - interval '2 hours'")
    old = await feed.queued_page(after=0, limit=10, min_age_seconds=3600)
    await feed.aclose()
    await projection.aclose()

    assert young.entries == []
    assert len(old.entries) == 1


async def test_a_checkpoint_beyond_the_log_is_damage(postgres_url: str) -> None:
    feed = PostgresQueueFeed(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update checkpoints set position = 7 where name = 'jobs'")

    with pytest.raises(LogDamaged, match="checkpoint of jobs is at 7"):
        await feed.queued_page(after=0, limit=10)
    await feed.aclose()


async def test_the_feed_goes_on_after_its_connection_was_cut(postgres_url: str) -> None:
    feed = PostgresQueueFeed(postgres_url)
    await feed.log_page(begin=0, limit=1)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

    with pytest.raises(Unavailable):
        await feed.log_page(begin=0, limit=1)

    assert (await feed.log_page(begin=0, limit=1)).head == 0
    await feed.aclose()
