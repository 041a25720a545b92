"""What ProgressBoard promises, over the fake and over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.progress_board import PostgresProgressBoard
from commands.ports import Append, Appended, EventLog
from commands.progress import Attempt, ProgressBoard
from domain.events import Completed, Created, Event, NewEvent, Started
from tests.fakes.event_log import FakeEventLog
from tests.fakes.progress_board import FakeProgressBoard
from tests.real_log import connected, register_workers


class Bench(Struct):
    """A board and the log beside it. `seen`: the read side has caught up; `let_pass`: so much time has gone by."""

    log: EventLog
    board: ProgressBoard
    seen: Callable[[], Awaitable[None]]
    let_pass: Callable[[timedelta], None]


@pytest.fixture(params=["fake", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[Bench]:
    if url is None:
        fake_log = FakeEventLog()
        fake_log.workers.add("w1")
        fake = FakeProgressBoard(fake_log)

        async def nothing() -> None:
            """The fake is never behind."""

        def run_ahead(time: timedelta) -> None:
            fake.elapsed += time

        yield Bench(fake_log, fake, nothing, run_ahead)
        return
    with connected(url) as db:
        register_workers(db, ["w1"])
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(url, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(url, size=2, application="contract"))
        projection = PostgresJobsProjection(url)
        opened.push_async_callback(projection.aclose)

        async def fold() -> None:
            while (page := await projection.fold_page()) is None or page.rows:
                pass

        def set_back(time: timedelta) -> None:
            with psycopg.connect(url, autocommit=True) as db:
                db.execute("update progress set reported_at = reported_at - %s", [time])

        yield Bench(log, PostgresProgressBoard(pool), fold, set_back)


def job_id() -> str:
    return str(uuid_utils.uuid7())


async def shown(bench: Bench, *job_ids: str) -> dict[str, tuple[int, float, str]]:
    read = await bench.board.read(job_ids)
    return {job_id: (progress.attempt, progress.fraction, progress.note) for job_id, progress in read.items()}


async def append(bench: Bench, job_id: str, expected: int, *events: Event) -> None:
    commands = [Append(job_id, expected, [NewEvent(event) for event in events], "w1")]
    assert isinstance((await bench.log.append(commands))[0], Appended)


async def started(bench: Bench) -> str:
    created, job = Created(type="T", priority="high", attempt=1, used=0, max_attempts=3), job_id()
    await append(bench, job, 0, created, Started(attempt=1, worker="w1"))
    return job


async def test_the_newest_of_each_job_is_shown(bench: Bench) -> None:
    first, second, silent = job_id(), job_id(), job_id()
    began = datetime.now(UTC)
    await bench.board.show({Attempt(first, 1): (0.0, ""), Attempt(second, 2): (0.25, "ü '\" rows")}, over=())
    await bench.board.show({Attempt(first, 1): (1.0, "all")}, over=())

    assert await shown(bench, first, second, silent) == {first: (1, 1.0, "all"), second: (2, 0.25, "ü '\" rows")}
    assert await shown(bench, silent) == {}
    assert await shown(bench) == {}
    at = (await bench.board.read([first]))[first].reported_at
    assert at.tzinfo is not None
    if isinstance(bench.board, PostgresProgressBoard):
        assert abs(at - began) < timedelta(minutes=1)
        assert at.microsecond % 1000 == 0  # as it is shown


async def test_an_attempt_that_is_heard_late_does_not_write_over_a_later_one(bench: Bench) -> None:
    job = job_id()
    await bench.board.show({Attempt(job, 2): (0.1, "second")}, over=())

    await bench.board.show({Attempt(job, 1): (0.9, "first")}, over=())
    assert await shown(bench, job) == {job: (2, 0.1, "second")}

    await bench.board.show({}, over=[Attempt(job, 1)])
    assert await shown(bench, job) == {job: (2, 0.1, "second")}

    await bench.board.show({Attempt(job, 3): (0.0, "third")}, over=[Attempt(job, 2)])
    assert await shown(bench, job) == {job: (3, 0.0, "third")}


async def test_what_is_over_is_taken_down_and_nothing_else(bench: Bench) -> None:
    over, goes_on, begins = job_id(), job_id(), job_id()
    await bench.board.show({Attempt(over, 1): (0.5, ""), Attempt(goes_on, 1): (0.5, "")}, over=())

    await bench.board.show({Attempt(begins, 1): (0.0, "")}, over=[Attempt(over, 1), Attempt(job_id(), 1)])

    assert set(await shown(bench, over, goes_on, begins)) == {goes_on, begins}


async def test_what_nobody_took_down_is_swept_when_it_is_old_and_no_such_attempt_runs(bench: Bench) -> None:
    runs, ended, unknown = await started(bench), await started(bench), job_id()
    attempts = [Attempt(job, 1) for job in (runs, ended, unknown)]
    await bench.board.show(dict.fromkeys(attempts, (0.5, "")), over=())
    await append(bench, ended, 2, Completed(attempt=1, worker="w1"))
    await bench.seen()
    assert await bench.board.sweep(older_than_hours=1) == 0

    bench.let_pass(timedelta(hours=2))
    await bench.board.show({Attempt(young := job_id(), 1): (0.5, "")}, over=())

    assert await bench.board.sweep(older_than_hours=1) == 2
    assert set(await shown(bench, runs, ended, unknown, young)) == {runs, young}
