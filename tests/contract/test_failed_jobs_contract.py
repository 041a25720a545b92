"""What every FailedJobs promises: out of PostgreSQL, and its fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import pytest

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.failed_jobs import PostgresFailedJobs
from commands.ports import Append, Appended, EventLog
from commands.retry_failed import FailedJobs, Wish
from domain.events import Completed, Created, Event, Failed, NewEvent, Queued, Started
from domain.job import Job
from tests.fakes.event_log import FakeEventLog
from tests.fakes.failed_jobs import FakeFailedJobs
from tests.good_logs import project_all
from tests.real_log import connected, register_workers


def job_id(number: int) -> str:
    return f"0190f5fe-7c00-7a00-8000-{number:012}"


class Bench:
    """Both sides; `url` is that of the database, if there is one."""

    def __init__(self, failed: FailedJobs, log: EventLog, url: str = "") -> None:
        self.failed = failed
        self.log = log
        self.url = url

    async def add(self, number: int, *events: Event, error: str = "boom") -> datetime:
        """A job to which these have happened; when the last of them was recorded."""
        content = msgspec.json.encode(error)
        new = [NewEvent(event, content if isinstance(event, Failed) else None) for event in events]
        [answer] = await self.log.append([Append(job_id(number), 0, new, "w1")])
        assert isinstance(answer, Appended)
        return answer.recorded_at

    async def failed_job(self, number: int, *, type: str = "T", error: str = "boom") -> datetime:
        return await self.add(
            number, Created(type, "default", 1, 0, 1), Started(1, "w1"), Failed(1, "w1", "error"), error=error
        )

    async def ids(self, wish: Wish, *, after: Job | None = None, limit: int = 100) -> list[int]:
        if self.url:
            await project_all(self.url)
        return [int(job.id[-12:]) for job in await self.failed.page(wish, after=after, limit=limit)]


@pytest.fixture(params=["fake", "postgres"])
async def bench(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeEventLog()
        fake.workers.add("w1")
        yield Bench(FakeFailedJobs(fake), fake)
        return
    with connected(postgres_url) as db:
        register_workers(db, ["w1"])
    async with (
        PostgresEventLog(postgres_url, application="failed jobs", patience=20.0) as log,
        make_pool(postgres_url, size=1, application="failed jobs") as pool,
    ):
        yield Bench(PostgresFailedJobs(pool), log, postgres_url)


async def test_only_jobs_that_have_failed_are_meant(bench: Bench) -> None:
    began = await bench.failed_job(1)
    await bench.add(2, Created("T", "default", 1, 0, 1))
    await bench.add(3, Created("T", "default", 1, 0, 1), Started(1, "w1"), Completed(1, "w1"))
    failed = (Created("T", "default", 1, 0, 1), Started(1, "w1"), Failed(1, "w1", "error"))
    await bench.add(4, *failed, Queued("T", "default", 2, 0, 1))

    assert await bench.ids(Wish(since=began)) == [1]
    assert await bench.failed.count(Wish(since=began)) == {"T": 1}


async def test_they_are_told_apart_by_type_time_and_error(bench: Bench) -> None:
    first = await bench.failed_job(1, type="A", error='Größe "7" \\ %_ fehlt\n\0')
    await bench.failed_job(2, type="B", error="größe")
    last = await bench.failed_job(3, type="B", error="Connection REFUSED")

    assert await bench.ids(Wish(since=first)) == [1, 2, 3]
    assert await bench.ids(Wish(since=last + timedelta(milliseconds=1))) == []
    assert await bench.ids(Wish(since=first, type="B")) == [2, 3]
    assert await bench.ids(Wish(since=first, error="connection refused")) == [3]
    assert await bench.ids(Wish(since=first, error="GRÖSSE")) == []
    assert await bench.ids(Wish(since=first, error="rö")) == [1, 2]
    assert await bench.ids(Wish(since=first, error="%_")) == [1]
    assert await bench.failed.count(Wish(since=first)) == {"A": 1, "B": 2}


@pytest.mark.parametrize("bench", ["postgres"], indirect=True)
async def test_what_json_writes_otherwise_is_found_as_it_is_meant(bench: Bench) -> None:
    first = await bench.failed_job(1, error='say "no" to C:\\temp\nnow')

    assert await bench.ids(Wish(since=first, error='"NO" to c:\\temp\nnow')) == [1]


async def test_pages_follow_each_other_by_id(bench: Bench) -> None:
    began = await bench.failed_job(3)
    await bench.failed_job(1)
    await bench.failed_job(2)
    wish = Wish(since=began)

    assert await bench.ids(wish, limit=2) == [1, 2]
    [_, second] = await bench.failed.page(wish, after=None, limit=2)
    assert await bench.ids(wish, after=second, limit=2) == [3]
