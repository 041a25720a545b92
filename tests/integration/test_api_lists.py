"""GET /jobs over the fake log: its parameters, its links, and what it says of mistakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from commands.ports import Append
from domain.events import Failed, NewEvent, Started
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader

JSON = {"content-type": "application/json"}


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
async def client(log: FakeEventLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader())) as client:
        yield client


async def post(client: httpx.AsyncClient, type: str = "CSV_EXPORT", priority: str = "high") -> str:
    body = f'{{"type": "{type}", "priority": "{priority}", "payload": null}}'
    job_id: str = (await client.post("/jobs", content=body, headers=JSON)).json()["jobId"]
    return job_id


async def test_a_list_leads_through_all_jobs_by_its_links(client: httpx.AsyncClient) -> None:
    ids = [await post(client) for _ in range(5)]

    found = []
    path = "/jobs?limit=2"
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200
        found += [job["id"] for job in answer.json()["jobs"]]
        path = answer.json()["next"]
        assert answer.headers.get("link") == (f'<{path}>; rel="next"' if path else None)
    assert found == ids[::-1]


async def test_the_next_link_keeps_the_filters(client: httpx.AsyncClient) -> None:
    mails = [await post(client, "EMAIL_SEND", "default") for _ in range(3)]
    await post(client)

    first = (await client.get("/jobs?type=EMAIL_SEND&createdAfter=2026-01-27T10%3A30%3A00%2B00%3A00&limit=2")).json()
    second = (await client.get(first["next"])).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == mails[::-1]
    assert second["next"] is None


async def test_a_failed_job_is_listed_with_its_error(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    job_id = await post(client)
    await post(client)
    failed = Failed(attempt=1, worker="w1", outcome="error", permanent=True)
    await log.append([Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w1")), NewEvent(failed, b'"no"')], "w1")])

    [job] = (await client.get("/jobs?status=failed")).json()["jobs"]
    assert job == {
        "id": job_id,
        "type": "CSV_EXPORT",
        "status": "failed",
        "priority": "high",
        "attempts": 1,
        "error": "no",
        "createdAt": "2026-01-27T10:30:00.001Z",
        "updatedAt": "2026-01-27T10:30:00.003Z",
        "maxAttempts": 3,
        "version": 3,
        "dueAt": None,
        "tags": [],
    }


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("status=done", "status", "must be one of pending, processing, completed, failed, cancelled, but is 'done'"),
        ("priority=", "priority", "must be one of high, default, but is ''"),
        ("type=", "type", "must be the name of a job type"),
        ("type=%00", "type", "must be the name of a job type"),
        ("tag=", "tag", "must be a tag of 1 to 64 characters, none a control character"),
        ("tag=%00", "tag", "must be a tag of 1 to 64 characters"),
        ("createdAfter=yesterday", "createdAfter", "must be a time with its offset (RFC 3339)"),
        ("createdBefore=4711", "createdBefore", "must be a time with its offset (RFC 3339)"),
        ("limit=0", "limit", "must be a number from 1 to 500, but is '0'"),
        ("limit=501", "limit", "must be a number from 1 to 500"),
        ("limit=%C2%B2", "limit", "must be a number from 1 to 500"),
        ("cursor=4711", "cursor", "must be as it stands in the `next` of a page"),
        ("state=failed", "state", "is no parameter here"),
        ("status=failed&status=pending", "status", "must be given once"),
    ],
)
async def test_a_parameter_that_is_not_allowed_is_named(
    client: httpx.AsyncClient, query: str, field: str, said: str
) -> None:
    answer = await client.get(f"/jobs?{query}")

    assert answer.status_code == 400
    assert answer.json()["type"] == "/schema#invalid-query"
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["detail"]


async def test_while_the_database_is_away_it_is_503(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    log.away = True

    answer = await client.get("/jobs")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


async def test_head_answers_without_a_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/jobs")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_other_methods_are_named_that_are_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.put("/jobs", content=b"{}")

    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].replace(",", " ").split())
