"""The projection `jobs` under everything that may happen to it: rivals, kills, gaps, events of a newer release."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from domain.errors import LogDamaged, Unavailable, UnknownEventType
from domain.events import RecordedEvent
from domain.job import Job, evolve
from projections.runner import Runner
from tests.properties.histories import seeded_history
from tests.real_log import (
    Database,
    append_history,
    checkpoint,
    connected,
    head,
    insert_history,
    read_jobs,
    read_log,
    register_workers,
    workers_of,
)
from tests.until import until


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        yield db


@pytest.fixture
async def projections(postgres_url: str) -> AsyncIterator[list[PostgresJobsProjection]]:
    """Three of them, with pages small enough to meet each other often."""
    async with AsyncExitStack() as opened:
        made = [PostgresJobsProjection(postgres_url, page=7) for _ in range(3)]
        for projection in made:
            opened.push_async_callback(projection.aclose)
        yield made


def folded(events: list[RecordedEvent]) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    for event in events:
        jobs[event.job_id] = evolve(jobs.get(event.job_id), event)
    return jobs


def projectors(db: Database) -> list[int]:
    rows = db.execute(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'jobledger projector'"
    ).fetchall()
    return [pid for (pid,) in rows]


async def run(projection: PostgresJobsProjection, until_position: int, db: Database) -> None:
    """Step as the process does, through outages."""
    runner = Runner(projection=projection)
    while checkpoint(db) < until_position:
        try:
            await runner.step()
        except Unavailable:
            await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_several_projectors_at_once_with_kills_among_them_lose_nothing(
    postgres_url: str, db: Database, projections: list[PostgresJobsProjection]
) -> None:
    history = seeded_history(11, jobs=60, commands=600)
    register_workers(db, workers_of(history))
    last = len(history.recorded)

    async def append() -> None:
        async with PostgresEventLog(postgres_url, application="appending", patience=60.0) as log:
            await append_history(log, history.appends, batch=5)

    async def kill() -> None:
        for nth in range(12):
            wanted = (nth + 1) * last // 16
            await until(lambda: checkpoint(db) >= wanted, saw=lambda: checkpoint(db))  # noqa: B023 - awaited here
            for pid in projectors(db)[nth % 2 :: 2]:
                db.execute("select pg_terminate_backend(%s)", [pid])

    await asyncio.gather(append(), kill(), *(run(projection, last, db) for projection in projections))

    assert checkpoint(db) == head(db) == last
    assert read_jobs(db) == folded(read_log(db))


async def test_a_projector_killed_in_the_middle_of_a_page_has_done_nothing(
    postgres_url: str, db: Database, projections: list[PostgresJobsProjection]
) -> None:
    insert_history(db, seeded_history(12, jobs=4, commands=30).recorded)
    one, two, _ = projections
    await one.fold_page()
    before, at = read_jobs(db), checkpoint(db)

    # Given: somebody holds a row, so that the fold stands in the middle, rows written and checkpoint not.
    with psycopg.connect(postgres_url) as holder:
        holder.execute("select 1 from jobs for update")
        folding = asyncio.create_task(one.fold_page())
        await until(lambda: bool(blocked(db)), saw=lambda: projectors(db))
        # Then: another finds the checkpoint taken, and does nothing.
        assert await two.fold_page() is None
        # When: it is killed.
        db.execute("select pg_terminate_backend(%s)", [blocked(db)[0]])
        with pytest.raises(Unavailable):
            await folding
        assert (read_jobs(db), checkpoint(db)) == (before, at)
        holder.rollback()

    # Then: whoever comes next goes on from there, and so does the one that was killed.
    while checkpoint(db) < head(db):
        await two.fold_page()
        await one.fold_page()
    assert read_jobs(db) == folded(read_log(db))


def blocked(db: Database) -> list[int]:
    rows = db.execute(
        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchall()
    return [pid for (pid,) in rows]


@pytest.mark.parametrize("missing", [1, 5, 7, 20])  # below a page, a page, more than a page
@pytest.mark.parametrize("first_missing", [1, 4, 15])
async def test_a_gap_stops_the_projector_before_it(
    db: Database, projections: list[PostgresJobsProjection], first_missing: int, missing: int
) -> None:
    insert_history(db, seeded_history(13, jobs=10, commands=60).recorded)
    whole = read_log(db)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("delete from events where position >= %s and position < %s", [first_missing, first_missing + missing])

    runner = Runner(projection=projections[0])
    with pytest.raises(LogDamaged, match="gap"):
        await steps(runner, at_most=20)

    assert checkpoint(db) < first_missing
    assert read_jobs(db) == folded(whole[: checkpoint(db)])
    with pytest.raises(LogDamaged):
        await runner.step()  # it stays so


async def test_an_event_of_a_newer_release_stops_the_projector_there(
    db: Database, projections: list[PostgresJobsProjection]
) -> None:
    recorded = seeded_history(14, jobs=4, commands=30).recorded
    insert_history(db, recorded[:17])
    db.execute(
        "insert into events values (18, gen_random_uuid(), 1, 'Paused', '{}', null, 'newer release', %s)",
        [recorded[17].recorded_at],
    )
    insert_history(db, recorded[18:])

    runner = Runner(projection=projections[0])
    with pytest.raises(UnknownEventType) as stopped:
        await steps(runner, at_most=20)

    assert (stopped.value.event_type, stopped.value.position) == ("Paused", 18)
    assert checkpoint(db) == 17
    assert read_jobs(db) == folded(recorded[:17])


async def test_an_idle_projector_waits_ever_longer_and_wakes_up_quickly(
    db: Database, projections: list[PostgresJobsProjection]
) -> None:
    runner = Runner(projection=projections[0])
    pauses = [await runner.step() for _ in range(8)]
    assert pauses == sorted(pauses)
    assert 0 < pauses[0] < pauses[-1] <= 0.25
    insert_history(db, seeded_history(15, jobs=1, commands=1).recorded)
    assert await runner.step() == pauses[0]
    assert await runner.step() == pauses[0]


async def steps(runner: Runner, *, at_most: int) -> None:
    for _ in range(at_most):
        await runner.step()
