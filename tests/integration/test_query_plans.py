"""The hot statements stay on their indexes when the tables are large, judged by the plans that the server really ran.

The adapters are used as in production, often enough for PostgreSQL to settle on generic plans; auto_explain writes down each plan
with the rows that it read, also of the statements inside append_events. Nothing may walk through a large table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uuid_utils
from msgspec import Struct
from psycopg import sql

from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.event_pages import PostgresEventPages
from adapters.postgres.health_reader import PostgresHealthReader
from adapters.postgres.job_ends import PostgresJobEnds
from adapters.postgres.job_lister import PostgresJobLister
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.postgres.queued_jobs import PostgresQueuedJobs
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from commands.list_jobs import JobFilter
from commands.liveness import RunningAttempt
from commands.ports import Append, Appended, IdempotencyKey, QueueEntry
from domain import job as verbs
from domain.events import NewEvent, Started
from domain.job import STATUSES, TRANSITIONS
from tests.real_log import Database, connected, head
from tests.until import until

JOBS = 40_000
CREATED_LATE = datetime(2026, 3, 1, tzinfo=UTC)
LARGE = ("events", "jobs", "idempotency_keys")
TURNS = 8  # from the sixth on a prepared statement may have a generic plan
BATCH = 41  # one more than append_events takes one after another
# A statement that finds its rows by index reads a few for each that it needs; a walk through a table reads tens of thousands.
MOST_ROWS = 1_500
RARE = 1767225601 + 4 * 100  # when a tagged job among the oldest was created, in seconds since 1970
EXAMINED = 500  # by one page of a list


class Plan(Struct):
    """One statement as it ran: its text, each scan of a table as (table, node, index, rows read), and what it read again."""

    text: str
    scans: list[tuple[str, str, str | None, float]]
    repeated: list[str]


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    """A log of 40,000 jobs: most are completed; some wait, are due, are queued, run."""
    with connected(postgres_url) as db:
        db.execute(
            """
            insert into events
            select row_number() over (order by g, v), ('01000000-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid, v,
                   (array['Created', 'Started', 'Completed'])[v],
                   (array['{"type":"T","priority":"high","attempt":1,"used":0,"maxAttempts":3}',
                          '{"attempt":1,"worker":"w1"}', '{"attempt":1,"worker":"w1"}'])[v]::json,
                   '{}', 'w1', timestamptz '2026-01-01' + g * interval '1 second'
            from generate_series(1, %(jobs)s) g, generate_series(1, 3) v
            where v <= case when g > %(jobs)s - 2000 then 1 when g > %(jobs)s - 2300 then 2 else 3 end
            """,
            {"jobs": JOBS},
        )
        db.execute(
            """
            insert into jobs (id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at,
                              worker, due_at, queued_position)
            select job_id, version, type, 'T', 'high', case when version = 1 then 0 else 1 end, 0, 3, recorded_at, recorded_at,
                   case when type = 'Started' then 'w' || mod(position, 20) end,
                   case when type = 'Created' and mod(position, 2) = 0
                       then clock_timestamp() + mod(position, 100) * interval '1 hour' - interval '5 hours' end,
                   case when type = 'Created' and mod(position, 2) = 1 then position end
            from (select distinct on (job_id) * from events order by job_id, version desc) newest
            """
        )
        db.execute(
            """
            update jobs set state = case extract(second from created_at) when 6 then 'Failed' else 'Cancelled' end
            where state = 'Completed' and extract(second from created_at) in (6, 7)
            """
        )
        db.execute(
            "update jobs set tags = array['common', 'order-' || extract(epoch from created_at)::bigint]"
            " where mod(extract(epoch from created_at)::bigint, 4) = 1"
        )
        db.execute("update checkpoints set position = (select max(position) from events)")
        db.execute("insert into workers (id) select 'w' || n from generate_series(0, 20) n")
        db.execute(
            "insert into idempotency_keys"
            " select 'client', 'key ' || n, '', gen_random_uuid(), now() from generate_series(1, 20000) n"
        )
        db.execute("vacuum analyze")
        name = sql.Identifier(db.info.dbname)
        for setting, value in {
            "session_preload_libraries": "auto_explain",
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_nested_statements": "on",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_format": "json",
            "auto_explain.log_parameter_max_length": "0",
        }.items():
            db.execute(sql.SQL("alter database {} set {} = {}").format(name, sql.SQL(setting), value))
        yield db


class Adapters(Struct):
    log: PostgresEventLog
    reader: PostgresJobReader
    lister: PostgresJobLister
    ends: PostgresJobEnds
    pages: PostgresEventPages
    projection: PostgresJobsProjection
    feed: PostgresQueueFeed
    dispatch: PostgresDispatch
    health: PostgresHealthReader
    registry: PostgresWorkerRegistry
    queued_jobs: PostgresQueuedJobs


@pytest.fixture
async def adapters(postgres_url: str, db: Database) -> AsyncIterator[Adapters]:
    async with AsyncExitStack() as opened:
        pool = await opened.enter_async_context(make_pool(postgres_url, size=1, application="plans"))
        adapters = Adapters(
            log=await opened.enter_async_context(PostgresEventLog(postgres_url, application="plans", patience=20.0)),
            reader=PostgresJobReader(pool),
            ends=PostgresJobEnds(pool),
            pages=PostgresEventPages(pool),
            lister=PostgresJobLister(pool, examined=EXAMINED, few_tagged=EXAMINED),
            projection=PostgresJobsProjection(postgres_url),
            feed=PostgresQueueFeed(postgres_url),
            dispatch=PostgresDispatch(pool, holder="plans"),
            health=PostgresHealthReader(pool, transitions=TRANSITIONS),
            registry=PostgresWorkerRegistry(postgres_url),
            queued_jobs=PostgresQueuedJobs(pool, worker="w1", job_types=["T"]),
        )
        opened.push_async_callback(adapters.projection.aclose)
        opened.push_async_callback(adapters.feed.aclose)
        opened.callback(adapters.registry.close)
        yield adapters


async def test_no_hot_statement_walks_through_a_large_table(
    db: Database, adapters: Adapters, server_home: Path
) -> None:
    server_log = server_home / "postgres.log"
    begin = server_log.stat().st_size
    old = [
        job_id for (job_id,) in db.execute("select id::text from jobs where state = 'Completed' limit 100").fetchall()
    ]

    for turn in range(TURNS):
        commands = [
            Append(
                str(uuid_utils.uuid7()),
                0,
                verbs.create(type="T", priority="high", payload=b"{}", max_attempts=3),
                "client",
                IdempotencyKey(f"turn {turn} {n}", b""),
            )
            for n in range(BATCH)
        ]
        assert {type(a) for a in await adapters.log.append(commands)} == {Appended}
        started = [Append(c.job_id, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1") for c in commands]
        assert {type(a) for a in await adapters.log.append(started)} == {Appended}
        # and what a conflict finds, and a batch in which a job comes twice
        assert Appended not in {type(a) for a in await adapters.log.append([*started, started[0]])}
        # and a few, which are judged one after another
        few = [await adapters.log.append([one]) for one in (commands[0], started[0], started[0], started[1])]
        assert Appended not in {type(a) for (a,) in few}
        for job_id in (commands[0].job_id, old[turn]):
            assert await adapters.reader.find(job_id) is not None
            assert await adapters.reader.payload(job_id) is not None
            assert await adapters.reader.history(job_id)
        page = await adapters.projection.fold_page()
        assert page is not None
        assert page.rows == 2 * BATCH
        assert (await adapters.dispatch.due(limit=20)).jobs
        await adapters.dispatch.orphans(limit=100)
        await adapters.dispatch.sweep(older_than_hours=24.0)
        await adapters.feed.log_page(begin=head(db) - 10, limit=100)
        await adapters.feed.queued_page(after=head(db) - 1000, limit=100, min_age_seconds=60.0)
        entries = [QueueEntry("high_priority", "1-0", job_id, 3, "T", 1) for job_id in old]
        assert len(await adapters.feed.still_queued(entries)) == len(old)
        adapters.registry.beat("w1", [RunningAttempt(c.job_id, 2) for c in commands], claims_from="streams")
        await adapters.health.read()
        assert (await adapters.queued_jobs.head(limit=100, wanted=50)).high
        assert len((await adapters.pages.page(head(db) - 300, limit=200)).events) == 200
        await adapters.ends.ended_after(await adapters.ends.head() - 20, limit=100)
        for status in STATUSES:
            listed = await adapters.lister.page(JobFilter(status=status), cursor=None, limit=50)
            assert len(listed.jobs) == 50 or status == "completed", "the newest 2,000 jobs are pending"
        # not all 50: a page looks at so many of the newest, and this test's own have no tag
        assert (await adapters.lister.page(JobFilter(tag="common"), cursor=None, limit=50)).jobs
        rare = await adapters.lister.page(JobFilter(tag=f"order-{RARE}"), cursor=None, limit=50)
        assert [job.tags[1] for job in rare.jobs] == [f"order-{RARE}"]
        for wanted in (JobFilter(type="NONE"), JobFilter(created_before=CREATED_LATE)):
            await adapters.lister.page(wanted, cursor=old[0], limit=50)

    marks = {
        "append_events(": 7 * TURNS,
        "append_many(": 3 * TURNS,
        "order by e.version desc limit 1": 4 * TURNS,
        "e.version = versions[n]": 4 * TURNS,
        "with wanted as (": 3 * TURNS,
        "unnest(command_ids, job_ids, actors, keys)": 3 * TURNS,
        "order by e.position desc limit 1": 3 * TURNS,
        "One job as of the newest event": 2 * TURNS,
        "All events of one job": 2 * TURNS,
        "The payload of one job": 2 * TURNS,
        "Folds the next page": TURNS,
        "The jobs whose wait is over": TURNS,
        "run by a worker that has no row": TURNS,
        "Idempotency keys past their time": TURNS,
        "One page of the log for the relay": TURNS,
        "The jobs that are queued, in the order": TURNS,
        "Which of these events are still": TURNS,
        "One heartbeat": TURNS,
        "How are all parts": TURNS,
        "The jobs to start next": TURNS,
        "The next events after a position": TURNS,
        "The newest position of the log": TURNS,
        "Which jobs ended by the next events": TURNS,
        "A page of the list of all jobs": 3 * TURNS,
        "A page of the list of pending jobs": TURNS,
        "About how many jobs have a tag": 2 * TURNS,
        "A page of the list of jobs with a rare tag": TURNS,
        "A page of the list of running jobs": TURNS,
        "A page of the list of failed jobs": TURNS,
        "A page of the list of cancelled jobs": TURNS,
    }
    plans: list[Plan] = []

    def all_there() -> bool:
        plans[:] = read_plans(server_log, begin)
        return all(len([p for p in plans if mark in p.text]) >= times for mark, times in marks.items())

    await until(all_there, saw=lambda: {mark: len([p for p in plans if mark in p.text]) for mark in marks})

    bad = [
        f"{table}: {node} by {index} read {rows:.0f} rows in\n{plan.text[:300]}"
        for plan in plans
        if any(mark in plan.text for mark in marks)
        for table, node, index, rows in plan.scans
        if table in LARGE and (node == "Seq Scan" or rows > MOST_ROWS)
    ]
    assert not bad, "\n\n".join(dict.fromkeys(bad))
    repeated = {node for plan in plans for node in plan.repeated if "with wanted as (" in plan.text}
    assert not repeated, (
        f"read once for every row of a batch, so a batch of a thousand takes a million steps: {repeated}"
    )
    used = {index for plan in plans for table, _, index, _ in plan.scans if table in LARGE and index}
    assert used >= {
        "events_pkey",
        "events_position_key",
        "jobs_pkey",
        "jobs_due",
        "jobs_queued",
        "jobs_queued_high",
        "jobs_running",
        "jobs_pending",
        "jobs_tags",
        "jobs_unsuccessful",
        "idempotency_keys_pkey",
        "idempotency_keys_created_at_idx",
    }


def read_plans(server_log: Path, begin: int) -> list[Plan]:
    """The plans that auto_explain has written since, each a JSON document whose lines the server has indented."""
    with server_log.open("rb") as file:
        file.seek(begin)
        text = file.read().decode(errors="replace")
    plans = []
    for _, _, rest in (part.partition("plan:\n") for part in text.split("LOG:  duration: ")[1:]):
        document = "\n".join(line.removeprefix("\t") for line in _indented(rest))
        try:
            found = msgspec.json.decode(document)
        except msgspec.DecodeError:
            continue  # the server is still writing it
        scans: list[tuple[str, str, str | None, float]] = []
        _collect_scans(found["Plan"], scans)
        plans.append(Plan(found["Query Text"], scans, _scanned_again(found["Plan"])))
    return plans


def _indented(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if not line.startswith("\t"):
            return
        yield line


def _scanned_again(node: dict[str, Any]) -> list[str]:
    """The scans of what a batch itself holds (arrays, CTEs) that were made more than once."""
    own = [node.get("CTE Name") or node.get("Alias", "")] if node["Node Type"] in ("CTE Scan", "Function Scan") else []
    again = own if node.get("Actual Loops", 0) > 1 else []
    return again + [name for child in node.get("Plans", []) for name in _scanned_again(child)]


def _collect_scans(
    node: dict[str, Any], scans: list[tuple[str, str, str | None, float]], index: str | None = None
) -> None:
    index = node.get("Index Name", index)
    for child in node.get("Plans", []):
        if child["Node Type"] == "Bitmap Index Scan":
            index = child["Index Name"]
        _collect_scans(child, scans)
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        removed = sum(value for key, value in node.items() if key.startswith("Rows Removed by"))
        rows = (node.get("Actual Rows", 0) + removed) * node.get("Actual Loops", 0)
        scans.append((node["Relation Name"], node["Node Type"], index, rows))
