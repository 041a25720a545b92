"""`Prefer: wait=` over the fake log: what is waited for, for how long, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from commands.ports import Append
from domain.events import Completed, NewEvent, Started
from entrypoints.api.preferences import wanted_wait
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.until import until

JSON = {"content-type": "application/json"}
BODY = b'{"type": "CSV_EXPORT", "payload": {"a": 1}}'


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
async def client(log: FakeEventLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader())) as client:
        yield client


async def complete(log: FakeEventLog, job_id: str) -> None:
    events = [NewEvent(Started(attempt=1, worker="w1")), NewEvent(Completed(attempt=1, worker="w1"), b'"done"')]
    await log.append([Append(job_id, 1, events, "w1")])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([b"wait=30"], 30),
        ([b"respond-async, wait=10"], 10),
        ([b'WAIT = "7"; foo'], 7),
        ([b"respond-async", b"wait=5"], 5),
        ([b"wait=3, wait=9"], 3),
        ([b"wait=999999"], 60),
        ([b"wait=0"], None),
        ([b"wait=soon"], None),
        ([b"wait=-1"], None),
        ([b"wait=1.5"], None),
        ([b"await=5"], None),
        ([b"wait"], None),
        ([], None),
    ],
)
def test_a_preference_is_read_or_passed_over(values: list[bytes], seconds: int | None) -> None:
    assert wanted_wait([(b"host", b"api"), *((b"prefer", value) for value in values)]) == seconds


async def test_get_answers_when_the_job_has_ended(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    job_id = (await client.post("/jobs", content=BODY, headers=JSON)).json()["jobId"]
    asking = asyncio.create_task(client.get(f"/jobs/{job_id}?include=payload", headers={"prefer": "wait=60"}))
    await asyncio.sleep(0.05)
    assert not asking.done()
    await complete(log, job_id)

    answer = await asking
    assert answer.headers["preference-applied"] == "wait=60"
    assert (answer.json()["status"], answer.json()["result"], answer.json()["payload"]) == (
        "completed",
        "done",
        {"a": 1},
    )
    assert answer.headers["etag"] == '"3"'


async def test_post_answers_when_the_job_has_ended(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    posting = asyncio.create_task(client.post("/jobs", content=BODY, headers=JSON | {"prefer": "wait=60"}))
    await until(lambda: bool(log.events))
    job_id = log.events[0].job_id
    await complete(log, job_id)

    answer = await posting
    assert (answer.status_code, answer.headers["location"]) == (201, f"/jobs/{job_id}")
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.json()["jobId"] == job_id
    assert answer.json()["job"] == (await client.get(f"/jobs/{job_id}")).json()


async def test_when_the_time_is_up_the_answer_is_what_there_is(client: httpx.AsyncClient) -> None:
    created = await client.post("/jobs", content=BODY, headers=JSON | {"prefer": "wait=1"})
    found = await client.get(created.headers["location"], headers={"prefer": "wait=1"})

    assert (created.status_code, created.json()["job"]["status"]) == (201, "pending")
    assert (found.status_code, found.json()["status"]) == (200, "pending")


async def test_a_repeated_request_waits_for_the_same_job(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    headers = JSON | {"idempotency-key": "a", "prefer": "wait=60"}
    first = asyncio.create_task(client.post("/jobs", content=BODY, headers=headers))
    await until(lambda: bool(log.events))
    second = asyncio.create_task(client.post("/jobs", content=BODY, headers=headers))
    await asyncio.sleep(0.02)
    await complete(log, log.events[0].job_id)

    assert (await first).json() == (await second).json()
    assert (await second).headers["idempotency-replayed"] == "true"


async def test_without_the_preference_nothing_of_it_is_said(client: httpx.AsyncClient) -> None:
    created = await client.post("/jobs", content=BODY, headers=JSON)
    found = await client.get(created.headers["location"])

    assert set(created.json()) == {"jobId"}
    assert "preference-applied" not in created.headers
    assert "preference-applied" not in found.headers


async def test_an_unknown_job_is_not_waited_for(client: httpx.AsyncClient) -> None:
    answer = await client.get("/jobs/0190f5fe-7c00-7a00-8000-000000000000", headers={"prefer": "wait=60"})

    assert answer.status_code == 404


async def test_a_job_that_was_kept_is_told_even_if_it_cannot_be_read(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    posting = asyncio.create_task(client.post("/jobs", content=BODY, headers=JSON | {"prefer": "wait=1"}))
    await until(lambda: bool(log.events))
    log.away = True

    answer = await posting
    assert (answer.status_code, answer.json()) == (201, {"jobId": log.events[0].job_id})


async def test_a_client_that_goes_is_not_waited_for(log: FakeEventLog) -> None:
    app = make_api(log, FakeHealthReader())
    async with client_of(app) as client:
        job_id = (await client.post("/jobs", content=BODY, headers=JSON)).json()["jobId"]
    gone = asyncio.Event()

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        """Nobody is there."""

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/jobs/{job_id}",
        "query_string": b"",
        "headers": [(b"prefer", b"wait=60")],
    }
    asking = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    assert not asking.done()
    gone.set()
    async with asyncio.timeout(10):
        await asking
