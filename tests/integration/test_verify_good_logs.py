"""No check cries wolf: not on random good histories, not on a log that is being written meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress

import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.stats_projection import PostgresStatsProjection
from commands.ports import Append, Appended
from domain import job as verbs
from domain.events import NewEvent, RecordedEvent
from domain.job import Job, evolve
from projections.runner import Runner
from tests.good_logs import append_for_real, many_histories, side_by_side
from tests.real_log import connected, head, register_workers
from tests.verifying import broken, verified


async def test_a_thousand_random_good_histories_raise_no_alarm(postgres_url: str) -> None:
    history = side_by_side(many_histories(1_000))
    await append_for_real(postgres_url, history)

    report = await verified(postgres_url, is_thorough=True, range_events=700)

    assert broken(report) == {}
    assert report.events == len(history.recorded) > 10_000
    half = report.last // 2
    later = await verified(postgres_url, first=half, is_thorough=True)
    assert broken(later) == {}
    assert later.events == report.last - half + 1


async def test_an_empty_log_holds_everything(postgres_url: str) -> None:
    report = await verified(postgres_url, is_thorough=True, is_drained=True)
    assert broken(report) == {}
    assert (report.first, report.last, report.events, report.digest) == (1, 0, 0, "0" * 64)


async def test_a_log_that_is_written_meanwhile_raises_no_alarm(postgres_url: str) -> None:
    stop = asyncio.Event()
    with connected(postgres_url) as db:
        register_workers(db, ["busy"])
        async with (
            PostgresEventLog(postgres_url, application="busy", patience=20.0) as log,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(20):
                tasks.create_task(_live(log, stop))
            tasks.create_task(_project(PostgresJobsProjection(postgres_url, page=50), stop))
            tasks.create_task(_project(PostgresStatsProjection(postgres_url, page=50, prune_after=2), stop))
            try:
                seen = []
                for _ in range(100):
                    report = await verified(postgres_url, is_thorough=True)
                    assert broken(report) == {}
                    seen.append(report.last)
                    if len(seen) >= 10 and seen[-1] > 2_000:
                        break
            finally:
                stop.set()
        assert seen[0] < seen[-1] <= head(db)


async def _live(log: PostgresEventLog, stop: asyncio.Event) -> None:
    """Lead jobs through their lives, one after the other."""
    for turn in itertools.count():
        if stop.is_set():
            return
        job_id = str(uuid_utils.uuid7())
        job: Job | None = None
        created = verbs.create(type="EMAIL_SEND", priority="high", payload=b"{}", max_attempts=3)
        version = 0
        for step in itertools.count():
            events = created if job is None else _next(job, turn + step)
            if not events:
                break
            [answer] = await log.append([Append(job_id, version, events, "busy")])
            assert isinstance(answer, Appended)
            for new in events:
                version += 1
                job = evolve(
                    job,
                    RecordedEvent(
                        answer.position + version, job_id, version, new.event, new.content, "busy", answer.recorded_at
                    ),
                )


def _next(job: Job, chance: int) -> list[NewEvent]:
    match job.state:
        case "Created" | "Queued":
            return verbs.start(job, worker="busy")
        case "Started" if chance % 3 == 0:
            return verbs.release(job)
        case "Started" if chance % 7 == 0:
            return verbs.request_cancel(job)
        case "Started" | "CancelRequested":
            return verbs.complete(job, result=b"1")
        case _:
            return []


async def _project(projection: PostgresJobsProjection | PostgresStatsProjection, stop: asyncio.Event) -> None:
    runner = Runner(projection=projection)
    try:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), await runner.step())
    finally:
        await projection.aclose()
