"""The API over PostgreSQL: what only the real log, reader and health can show."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import uuid_utils

from adapters.files.result_files import OutputFiles
from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.event_pages import PostgresEventPages
from adapters.postgres.health_reader import PostgresHealthReader
from adapters.postgres.job_ends import PostgresJobEnds
from adapters.postgres.job_lister import PostgresJobLister
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.progress_board import PostgresProgressBoard
from adapters.postgres.stats_reader import PostgresStatsReader
from commands.follow_log import LogFollower
from commands.outages import Outages
from commands.wait_for_end import EndOfJobs
from domain.job import TRANSITIONS
from entrypoints.api.app import make_app
from tests.api_under_test import JOB_TYPES, client_of
from tests.conftest import free_port
from tests.fakes.api_keys import FakeApiKeys, ring_over
from tests.fakes.job_ends import listen
from tests.fakes.report import FakeReport
from tests.until import until

MAX_BODY_BYTES = 16 * 1024 * 1024
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def api_over(url: str, *, patience: float = 20.0) -> AsyncIterator[httpx.AsyncClient]:
    """An API process's worth of adapters on that database, and a client that holds answers against the documentation."""
    outages = Outages(report=FakeReport())
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(
            PostgresEventLog(url, application="api test", patience=patience, outages=outages)
        )
        pool = await opened.enter_async_context(make_pool(url, size=4, application="api test"))
        reader = PostgresJobReader(pool)
        app = make_app(
            log=log,
            jobs=reader,
            lists=PostgresJobLister(pool),
            stats=PostgresStatsReader(pool),
            files=OutputFiles(Path("output")),
            ends=EndOfJobs(jobs=reader, ends=PostgresJobEnds(pool), listen=listen, outages=outages),
            follower=LogFollower(pages=PostgresEventPages(pool), listen=listen, outages=outages),
            progress=PostgresProgressBoard(pool),
            health=PostgresHealthReader(pool, transitions=TRANSITIONS),
            keys=ring_over(FakeApiKeys()),
            outages=outages,
            job_types=JOB_TYPES,
            new_job_id=lambda: str(uuid_utils.uuid7()),
            max_attempts=3,
            max_body_bytes=MAX_BODY_BYTES,
            max_batch_bytes=MAX_BODY_BYTES,
            max_lag=30.0,
        )
        yield await opened.enter_async_context(client_of(app))


def job_with(payload: bytes) -> bytes:
    return b'{"type": "CSV_EXPORT", "payload": ' + payload + b"}"


KEPT = [
    b'"\\u0000"',
    b'["\\ud800", "\\udc00\\ud800"]',
    b"[1e400, -1e400, 1e-400]",
    b"9" * 5000,
    b'{"a": 1, "a": 2, "a": {"b": 1, "b": 2}}',
    b"[" * 64 + b"]" * 64,
    b'"' + b"x" * (10 * 1024 * 1024) + b'"',
    b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}",
    '"\u2028 😀 \\\\ \x7f"'.encode(),
    b"  [ ]  ",
]
REFUSED = [
    b'"\x00"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"NaN",
    b"[Infinity]",
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000,
    b'"\\ud8"',
    b"",
]


async def test_hostile_payloads_are_kept_as_they_were_sent_or_refused(postgres_url: str) -> None:
    async with api_over(postgres_url) as client:
        for payload in KEPT:
            created = await client.post("/jobs", content=job_with(payload), headers=JSON)
            assert created.status_code == 201, payload[:50]
            path = created.headers["location"]
            shown = await client.get(path, params={"include": "payload"})
            history = await client.get(f"{path}/events")
            assert shown.content.endswith(b'"payload":' + payload.strip() + b"}"), payload[:50]
            assert b'"content":' + payload.strip() + b"," in history.content, payload[:50]
        for payload in REFUSED:
            refused = await client.post("/jobs", content=job_with(payload), headers=JSON)
            assert refused.status_code == 400, payload[:50]
    with psycopg.connect(postgres_url) as db:
        assert db.execute("select count(*) from events").fetchone() == (len(KEPT),)


async def test_twenty_requests_with_one_key_through_two_processes_are_one_job(postgres_url: str) -> None:
    async with api_over(postgres_url) as one, api_over(postgres_url) as two:
        keyed = JSON | {"idempotency-key": '"k"'}
        answers = await asyncio.gather(
            *(client.post("/jobs", content=job_with(b"1"), headers=keyed) for client in (one, two) for _ in range(10))
        )
        other = await two.post("/jobs", content=job_with(b"2"), headers=keyed)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert other.status_code == 422


async def test_a_batch_of_ten_thousand_is_one_append_and_may_be_repeated(postgres_url: str) -> None:
    lines = b"".join(
        b'{"type":"CSV_EXPORT","payload":{"n":%d},"idempotencyKey":"k%d"}\n' % (n, n) for n in range(10_000)
    )
    async with api_over(postgres_url) as client:
        answers = [
            (await client.post("/jobs/batch", content=lines, headers={"content-type": "application/x-ndjson"})).json()
            for _ in range(2)
        ]

    assert [(told["created"], told["replayed"], told["refused"]) for told in answers] == [
        (10_000, 0, 0),
        (0, 10_000, 0),
    ]
    assert [item["jobId"] for item in answers[0]["items"]] == [item["jobId"] for item in answers[1]["items"]]
    with psycopg.connect(postgres_url) as db:
        assert db.execute("select count(*), count(distinct recorded_at) from events").fetchone() == (10_000, 1)


async def test_health_tells_what_the_database_knows_of_each_part(postgres_url: str) -> None:
    async with api_over(postgres_url) as client:
        fresh = (await client.get("/health")).json()
        await client.post("/jobs", content=job_with(b"1"), headers=JSON)
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute("insert into workers (id, claims_from) values ('w1', 'streams'), ('w2', 'streams')")
            db.execute(
                "update dispatcher_lease set holder = 'd1', expires_at = clock_timestamp() + interval '1 hour',"
                " redis_state = 'Error 111', reported_at = clock_timestamp()"
            )
        behind = await client.get("/health")
        ready = await client.get("/readyz")
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute("update checkpoints set position = 1 where name = 'jobs'")
            db.execute("update dispatcher_lease set redis_state = 'ok', relayed_position = 1")
        well = (await client.get("/health")).json()

    assert fresh["status"] == "ok"
    assert fresh["degraded"] == ["redis", "dispatcher", "workers"]
    assert fresh["parts"]["redis"] == {"status": "unknown", "detail": "no dispatcher has reported lately"}
    assert behind.json()["degraded"] == ["redis"]
    assert behind.json()["parts"]["redis"]["status"] == "failing"
    assert behind.json()["parts"]["dispatcher"] == {"status": "ok", "detail": "d1", "lag": 1}
    assert behind.json()["parts"]["projector"]["lag"] == 1
    assert behind.json()["parts"]["workers"] == {"status": "ok", "count": 2}
    assert ready.status_code == 200
    assert well["degraded"] == []
    assert well["parts"]["projector"] == {"status": "ok", "lag": 0, "lagSeconds": 0.0}


async def test_a_read_side_that_stands_still_makes_the_api_unready(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:  # an event of a minute ago, which nobody has folded
        db.execute(
            "insert into events values (1, gen_random_uuid(), 1, 'Created',"
            """ '{"type":"CSV_EXPORT","priority":"high","attempt":1,"used":0,"maxAttempts":3}', 'null', 'a',"""
            " clock_timestamp() - interval '1 minute')"
        )
    async with api_over(postgres_url) as client:
        ready = await client.get("/readyz")

        assert ready.status_code == 503
        assert "behind the log" in ready.json()["reasons"][0]
        assert (await client.get("/health")).json()["degraded"][-2:] == ["projector", "workers"]


async def test_without_our_schema_the_api_is_not_ready(empty_postgres_url: str) -> None:
    async with api_over(empty_postgres_url, patience=0.1) as client:
        assert (await client.get("/readyz")).json()["reasons"] == ["the schema does not fit this release"]
        assert (await client.get("/health")).status_code == 503
        assert (await client.post("/jobs", content=job_with(b"1"), headers=JSON)).status_code == 503


async def test_without_a_database_every_request_is_503_and_says_when_to_come_again() -> None:
    nobody = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    async with api_over(nobody, patience=0.1) as client:
        answers = await asyncio.gather(
            client.post("/jobs", content=job_with(b"1"), headers=JSON),
            client.get("/jobs/0190f5fe-7c00-7a00-8000-000000000000"),
            client.get("/health"),
            client.get("/readyz"),
        )

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["retry-after"] == "1"
    assert answers[1].headers["retry-after"] == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_serves_until_it_is_told_to_stop(postgres_url: str, number: signal.Signals) -> None:
    port = free_port()
    environ = {**os.environ, "DATABASE_URL": postgres_url, "API_PORT": str(port), "API_HOST": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "jobledger",
        "api",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    assert process.returncode is None, "the process ended"
                    return False

            await until(is_ready, within=60)
            created = await client.post("/jobs", json={"type": "CSV_EXPORT", "payload": {"data": []}})
            found = await client.get(created.headers["location"])
            refused = await client.post("/jobs", json={"type": "NOPE", "payload": None})
            process.send_signal(number)
            output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

    assert (created.status_code, found.json()["status"]) == (201, "pending")
    assert refused.json()["errors"][0]["allowed"] == ["CSV_EXPORT", "EMAIL_SEND"]
    assert process.returncode == 0, output.decode()
    assert b"Traceback" not in output, output.decode()


async def test_a_port_in_use_ends_the_process_with_one_clear_sentence(postgres_url: str) -> None:
    holder = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    async with holder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jobledger",
            "api",
            env={**os.environ, "DATABASE_URL": postgres_url, "API_PORT": str(port)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode not in (0, None)
    assert f"API_PORT='{port}': another program listens on this port" in output.decode()
    assert b"Traceback" not in output
