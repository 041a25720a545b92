"""On a database that has just been made, nobody has gathered statistics: its plans must not be those of a small table."""

from __future__ import annotations

import psycopg

from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from commands.liveness import RunningAttempt
from commands.ports import Append, Appended, IdempotencyKey
from domain.events import Completed, NewEvent, Started
from domain.job import create
from tests.until import until_now


async def test_from_the_first_job_on_no_statement_of_the_service_reads_a_whole_table(postgres_url: str) -> None:
    """A plan is kept while its connection lives, so a whole table would be read again and again as it grows."""
    registry = PostgresWorkerRegistry(postgres_url)
    registry.register("w1")
    projection = PostgresJobsProjection(postgres_url)
    feed = PostgresQueueFeed(postgres_url)
    async with (
        PostgresEventLog(postgres_url, application="new", patience=10.0) as log,
        make_pool(postgres_url, size=1, application="new") as pool,
    ):
        dispatch = PostgresDispatch(pool, holder="d1")
        for number in range(8):  # a prepared statement gets its final plan with the sixth call at the latest
            job_id = f"00000000-0000-7000-8000-{number:012}"
            created = create(type="T", priority="default", payload=b"1", max_attempts=3)
            for expected, events, actor in (
                (0, created, "anonymous"),
                (1, [NewEvent(Started(attempt=1, worker="w1"))], "w1"),
                (2, [NewEvent(Completed(attempt=1, worker="w1"), b"1")], "w1"),
            ):
                key = IdempotencyKey(job_id, b"digest") if expected == 0 else None
                [answer] = await log.append([Append(job_id, expected, events, actor, key)])
                assert isinstance(answer, Appended)
                await projection.fold_page()
                await dispatch.orphans(limit=10)
                await dispatch.due(limit=10)
                registry.beat("w1", [RunningAttempt(job_id, 2)], claims_from="streams")
                await PostgresJobReader(pool).find(job_id)
                await feed.log_page(begin=0, limit=10)
                await feed.queued_page(after=0, limit=10)
    await projection.aclose()
    await feed.aclose()
    registry.close()

    with psycopg.connect(postgres_url, autocommit=True) as db:

        def scans() -> dict[str, tuple[int, int]]:
            rows = db.execute(
                "select relname, seq_scan, idx_scan from pg_stat_user_tables "
                "where relname in ('events', 'jobs', 'idempotency_keys')"
            )
            return {name: (whole, by_index) for name, whole, by_index in rows}

        def others() -> int:
            query = (
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            )
            [(count,)] = db.execute(query)
            return int(count)

        until_now(lambda: others() == 0)  # a connection tells of its scans when it ends
        assert all(by_index >= 8 for _, by_index in scans().values()), scans()
        assert {name: whole for name, (whole, _) in scans().items()} == {"events": 0, "jobs": 0, "idempotency_keys": 0}
