"""The longest waits that the domain allows, through everything that reads them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import uuid_utils

from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from commands.ports import Append, Appended
from domain import job as verbs
from domain.waiting import EARLIEST_RUN_AT, LATEST_RUN_AT, LONGEST_DELAY
from tests.real_log import connected, read_jobs
from tests.verifying import broken, verified


@pytest.mark.parametrize("offset", [-12, 0, 14])
async def test_the_longest_waits_can_be_read_by_everybody(postgres_url: str, offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    waits: list[tuple[float | None, datetime | None]] = [
        (LONGEST_DELAY.total_seconds(), None),
        (None, LATEST_RUN_AT.astimezone(zone)),
        (None, EARLIEST_RUN_AT.astimezone(zone)),
    ]
    ids = [str(uuid_utils.uuid7()) for _ in waits]
    projection = PostgresJobsProjection(postgres_url)
    async with (
        PostgresEventLog(postgres_url, application="tests") as log,
        make_pool(postgres_url, size=1, application="tests") as pool,
    ):
        answers = await log.append(
            [
                Append(
                    job_id,
                    0,
                    verbs.create(type="T", priority="high", payload=b"1", max_attempts=1, delay=delay, run_at=run_at),
                    "client",
                )
                for job_id, (delay, run_at) in zip(ids, waits, strict=True)
            ]
        )
        by_the_log = [await PostgresJobReader(pool).find(job_id) for job_id in ids]
        await projection.fold_page()
        due = await PostgresDispatch(pool, holder="tests").due(limit=10)
    await projection.aclose()

    [first, *_] = answers
    assert isinstance(first, Appended)
    with connected(postgres_url) as db:
        rows = read_jobs(db)
    assert [rows[job_id] for job_id in ids] == by_the_log
    assert [rows[job_id].due_at for job_id in ids] == [
        first.recorded_at + LONGEST_DELAY,
        LATEST_RUN_AT,
        EARLIEST_RUN_AT,
    ]
    assert [job.id for job in due.jobs] == ids[2:]
    assert broken(await verified(postgres_url, is_thorough=True)) == {}
