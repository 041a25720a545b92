"""The past of single jobs: for random histories, at every position and time, the fold of what had happened by then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
import uuid_utils
from psycopg import ClientCursor

from adapters.postgres.connecting import make_pool
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.statements import load_statement
from commands.ports import JobReader, PastJob
from domain.events import RecordedEvent
from domain.job import fold
from domain.moment import BeforeCreation, BeyondHead, Moment, timestamp
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.integration.test_api_postgres import JSON, api_over, job_with
from tests.properties.histories import History, seeded_history
from tests.real_log import connected, insert_history

MILLISECOND = timedelta(milliseconds=1)


@asynccontextmanager
async def reader_over(url: str) -> AsyncIterator[PostgresJobReader]:
    async with make_pool(url, size=2) as pool:
        yield PostgresJobReader(pool)


def moments_of(history: History) -> list[Moment]:
    """Every position, every time at which something was recorded, and the milliseconds beside it."""
    times = {e.recorded_at + near for e in history.recorded for near in (-MILLISECOND, timedelta(0), MILLISECOND)}
    last = history.recorded[-1].recorded_at
    return [*range(len(history.recorded) + 1), *sorted(at for at in times if at <= last)]


def by_then(events: list[RecordedEvent], moment: Moment) -> list[RecordedEvent]:
    if isinstance(moment, int):
        return [e for e in events if e.position <= moment]
    return [e for e in events if e.recorded_at <= moment]


async def past_of(reader: JobReader, job_id: str, moment: Moment) -> PastJob | None:
    """None also where the job was not there yet."""
    try:
        return await reader.as_of(job_id, moment, with_payload=True)
    except BeforeCreation:
        return None


@pytest.mark.parametrize("seed", [11, 12])
async def test_the_reader_tells_of_every_moment_what_the_fold_of_the_events_by_then_is(
    postgres_url: str, seed: int
) -> None:
    history = seeded_history(seed, jobs=6, commands=60)
    with connected(postgres_url) as db:
        insert_history(db, history.recorded)
    async with reader_over(postgres_url) as reader:
        for job_id in history.job_ids():
            events = history.of_job(job_id)
            for moment in moments_of(history):
                then = by_then(events, moment)
                past = await past_of(reader, job_id, moment)
                assert (past.job if past else None) == fold(then), (job_id, moment)
                assert (past.payload if past else None) == (then[0].content if then else None)
            now = await reader.as_of(job_id, len(history.recorded))
            assert now == PastJob(fold(events), None)  # type: ignore[arg-type]


async def test_over_http_it_is_the_same(postgres_url: str) -> None:
    history = seeded_history(13, jobs=4, commands=40)
    with connected(postgres_url) as db:
        insert_history(db, history.recorded)
    async with api_over(postgres_url) as client:
        for job_id in history.job_ids():
            for moment in moments_of(history):
                as_of = str(moment) if isinstance(moment, int) else timestamp(moment)
                answer = await client.get(f"/jobs/{job_id}", params={"asOf": as_of})
                job = fold(by_then(history.of_job(job_id), moment))
                if job is None:
                    assert (answer.status_code, answer.json()["type"]) == (404, "/schema#before-creation")
                    continue
                shown = answer.json()
                assert (shown["status"], shown["attempts"], shown["version"]) == (job.status, job.attempts, job.version)
                assert shown["updatedAt"] == timestamp(job.updated_at)
                assert b'"result":' + (job.result or b"null") + b"," in answer.content
                assert b'"error":' + (job.error or b"null") + b"," in answer.content


@pytest.fixture(params=["fake", "postgres"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "fake":
        async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as made:
            yield made
    else:
        async with api_over(request.getfixturevalue("postgres_url")) as made:
            yield made


async def test_what_is_not_known_is_404_and_says_which_it_is(client: httpx.AsyncClient) -> None:
    first, second = [
        (await client.post("/jobs", content=job_with(b"[ 1 ]"), headers=JSON)).headers["location"] for _ in "ab"
    ]
    created_at = datetime.fromisoformat((await client.get(first)).json()["createdAt"])
    unknown = f"/jobs/{uuid_utils.uuid7()}"

    asked = {
        (second, "1"): "before-creation",
        (second, "0"): "before-creation",
        (second, "2025-01-01T00:00:00+01:00"): "before-creation",
        (first, timestamp(created_at - MILLISECOND)): "before-creation",
        (first, "3"): "beyond-head",
        (first, "9" * 5_000): "beyond-head",
        (first, "9999-12-31T23:59:59Z"): "beyond-head",
        (unknown, "1"): "job-not-found",
        (unknown, "99"): "job-not-found",
    }
    for (path, moment), kind in asked.items():
        answer = await client.get(path, params={"asOf": moment})
        assert (answer.status_code, answer.json()["type"]) == (404, f"/schema#{kind}"), (path, moment)

    for path, moment in ((first, "1"), (first, "2"), (second, "2"), (first, timestamp(created_at))):
        answer = await client.get(path, params={"asOf": moment, "include": "payload"})
        assert answer.status_code == 200
        assert answer.content.endswith(b'"payload":[ 1 ]}')
        assert b"payload" not in (await client.get(path, params={"asOf": moment})).content


@pytest.mark.parametrize("moment", ["", "2026-01-27", "now", "-1", "2026-01-27T10:30:00", "\ud83d", "1\x00"])
async def test_what_is_no_moment_is_400_and_says_what_is_allowed(moment: str) -> None:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        path = (await client.post("/jobs", content=job_with(b"1"), headers=JSON)).headers["location"]
        answer = await client.get(path, params={"asOf": moment.encode("utf-8", "surrogatepass").decode("latin-1")})
        twice = await client.get(f"{path}?asOf=1&asOf=1")

    assert (answer.status_code, answer.json()["type"]) == (400, "/schema#invalid-query")
    assert answer.json()["errors"][0]["field"] == "asOf"
    assert "RFC 3339" in answer.json()["detail"]
    assert "once" in twice.json()["detail"]


async def test_a_plus_sign_that_nobody_escaped_is_understood(postgres_url: str) -> None:
    async with api_over(postgres_url) as client:
        path = (await client.post("/jobs", content=job_with(b"1"), headers=JSON)).headers["location"]
        created_at = datetime.fromisoformat((await client.get(path)).json()["createdAt"])
        local = (created_at.astimezone(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds")[:-6] + "+01:00"
        answer = await client.get(f"{path}?asOf={local}")

    assert answer.status_code == 200, json.dumps(answer.json())


async def test_between_the_newest_event_and_now_the_past_is_known(postgres_url: str) -> None:
    """A log in which nothing happens has a past all the same; only what is yet to come is beyond it."""
    history = seeded_history(14, jobs=1, commands=1)
    at = datetime.now(UTC) - timedelta(days=1)
    with connected(postgres_url) as db:
        db.execute("alter table events disable trigger immutable_rows")
        insert_history(db, history.recorded)
        db.execute("update events set recorded_at = %s", [at])
    async with reader_over(postgres_url) as reader:
        [job_id] = history.job_ids()
        assert await reader.as_of(job_id, at + timedelta(hours=23)) is not None
        with pytest.raises(BeyondHead):
            await reader.as_of(job_id, at + timedelta(hours=25))


async def test_the_statement_reads_no_more_than_the_job(postgres_url: str) -> None:
    history = seeded_history(15, jobs=500, commands=3_000)
    with psycopg.connect(postgres_url, autocommit=True) as db:
        insert_history(db, history.recorded)
        db.execute("analyze events")
        cursor = ClientCursor(db)
        asked = {"job_id": history.job_ids()[7], "position": None, "time": datetime.now(UTC), "with_payload": False}
        cursor.execute("explain " + load_statement("job_as_of"), asked)
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Seq Scan on events" not in plan, plan
    assert plan.count("events_pkey") == 2, plan
