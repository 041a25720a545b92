"""The fold exists twice, in domain/job.py and in SQL: both must say the same of every history, however it is cut into pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from domain.events import RecordedEvent
from domain.job import Job, evolve, fold
from tests.properties.effort import effort
from tests.properties.histories import History, histories, seeded_history
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
    with_new_ids,
    workers_of,
)

PAGES = (1, 2, 3, 5, 8, 13, 50)


class Bench(Struct):
    """A database with all that reads and writes it; one projection for each size of page."""

    db: Database
    log: PostgresEventLog
    reader: PostgresJobReader
    projections: dict[int, PostgresJobsProjection]


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        yield db


@pytest.fixture
async def bench(postgres_url: str, db: Database) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(postgres_url, application="fold test", patience=20.0))
        pool = await opened.enter_async_context(make_pool(postgres_url, size=2, application="fold test"))
        projections = {page: PostgresJobsProjection(postgres_url, page=page) for page in PAGES}
        for projection in projections.values():
            opened.push_async_callback(projection.aclose)
        yield Bench(db, log, PostgresJobReader(pool), projections)


def folded(events: list[RecordedEvent]) -> dict[str, Job]:
    """The reference: every job by domain.job.evolve."""
    jobs: dict[str, Job] = {}
    for event in events:
        jobs[event.job_id] = evolve(jobs.get(event.job_id), event)
    return jobs


async def found(bench: Bench, job_ids: list[str]) -> dict[str, Job]:
    jobs = await asyncio.gather(*(bench.reader.find(job_id) for job_id in job_ids))
    return {job.id: job for job in jobs if job is not None}


@given(history=histories(jobs=8, commands=60), pages=st.lists(st.sampled_from(PAGES), min_size=1, max_size=4))
@effort(quick=15, long=1_000)
async def test_both_folds_and_the_reader_agree_at_every_checkpoint(
    bench: Bench, history: History, pages: list[int]
) -> None:
    # Given: a random history, appended for real behind those of the examples before.
    history = with_new_ids(history)
    ids = history.job_ids()
    register_workers(bench.db, workers_of(history))
    begin = checkpoint(bench.db)
    await append_history(bench.log, history.appends)
    log = read_log(bench.db, after=begin)
    assert [e.event for e in log] == [e.event for e in history.recorded]
    newest = folded(log)
    assert await found(bench, ids) == newest  # without a row

    # When, then: page by page, the row of each job is its fold so far, and reading one job is ahead of them all.
    turns = cycle(pages)
    while (before := checkpoint(bench.db)) < begin + len(log):
        page = next(turns)
        await bench.projections[page].fold_page()
        position = checkpoint(bench.db)
        assert position == min(before + page, begin + len(log))
        assert read_jobs(bench.db, ids) == folded(log[: position - begin])
        assert await found(bench, ids) == newest

    # When, then: anything is folded again, nothing changes.
    for back in {begin, begin + len(log) // 3, begin + len(log) // 2, begin + max(0, len(log) - 1)}:
        bench.db.execute("update checkpoints set position = %s", [back])
        while checkpoint(bench.db) < begin + len(log):
            await bench.projections[next(turns)].fold_page()
            assert read_jobs(bench.db, ids) == newest
            assert await found(bench, ids) == newest


@pytest.mark.parametrize("seed", [1, 2])
async def test_both_folds_agree_on_a_large_history(bench: Bench, seed: int) -> None:
    history = seeded_history(seed, jobs=200, commands=2_000)
    insert_history(bench.db, history.recorded)
    log = read_log(bench.db)
    assert log == history.recorded
    turns = cycle([50, 13, 8])
    while checkpoint(bench.db) < head(bench.db):
        await bench.projections[next(turns)].fold_page()
    newest = folded(log)
    assert read_jobs(bench.db) == newest
    assert {job_id: await bench.reader.find(job_id) for job_id in history.job_ids()[::10]} == {
        job_id: newest[job_id] for job_id in history.job_ids()[::10]
    }
    for job_id in history.job_ids()[::20]:
        stream = await bench.reader.history(job_id)
        assert stream == history.of_job(job_id)
        assert fold(stream) == newest[job_id]
