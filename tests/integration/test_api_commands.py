"""Cancelling and retrying over HTTP, over the fake log: answers, versions, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from commands.ports import Append
from domain.events import Cancelled, CancelRequested, Completed, Event, Failed, NewEvent, Queued, Started
from tests.api_under_test import MAX_BODY_BYTES, client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.untraced import untraced

JSON = {"content-type": "application/json"}
UNKNOWN = "/jobs/0190f5fe-7c00-7a00-8000-000000000009"


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
async def client(log: FakeEventLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader())) as client:
        yield client


async def job_after(client: httpx.AsyncClient, log: FakeEventLog, *events: Event) -> str:
    """The path of a job to which these have happened."""
    created = await client.post("/jobs", content=b'{"type": "CSV_EXPORT", "payload": 1}', headers=JSON)
    path = created.headers["location"]
    if events:
        await log.append([Append(path[6:], 1, [NewEvent(event, b'"x"') for event in events], "w1")])
    return str(path)


async def test_a_job_that_waits_is_cancelled_at_once(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    path = await job_after(client, log)

    answer = await client.post(f"{path}/cancel", json={"reason": "größe ☃"})

    assert (answer.status_code, answer.json()["status"], answer.headers["etag"]) == (200, "cancelled", '"2"')
    assert answer.json() == (await client.get(path)).json()
    assert (untraced(log.events[-1].event), log.events[-1].actor) == (Cancelled(reason="größe ☃"), "anonymous")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"reason": null}', b'{"reason": "", "colour": [1]}'])
async def test_a_reason_may_be_left_out(body: bytes, client: httpx.AsyncClient, log: FakeEventLog) -> None:
    path = await job_after(client, log, Started(1, "w1"))

    answer = await client.post(f"{path}/cancel", content=body, headers=JSON if body else {})

    assert (answer.status_code, answer.json()["status"], answer.headers["etag"]) == (202, "processing", '"3"')
    assert untraced(log.events[-1].event) == CancelRequested()


async def test_a_failed_or_cancelled_job_lives_again(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    failed = await job_after(client, log, Started(1, "w1"), Failed(1, "w1", "error"))
    cancelled = await job_after(client, log, Cancelled())

    answers = [await client.post(f"{path}/retry", json={"reason": "again"}) for path in (failed, cancelled)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["status"] for answer in answers] == ["pending", "pending"]
    assert [answer.headers["etag"] for answer in answers] == ['"4"', '"3"']
    queued = log.events[-1].event
    assert isinstance(queued, Queued)
    assert (queued.reason, queued.used) == ("again", 0)


async def test_a_cancelled_job_whose_attempt_was_lost_says_so_and_is_retried_in_a_process_of_its_own(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    path = await job_after(client, log, Started(1, "w1"), CancelRequested(), Cancelled(1, "w1", "lost"))
    job, [*_, cancelled] = (await client.get(path)).json(), (await client.get(f"{path}/events")).json()["events"]
    assert (job["status"], job["error"]) == ("cancelled", "x")
    assert (cancelled["data"], cancelled["content"]) == ({"attempt": 1, "worker": "w1", "outcome": "lost"}, "x")

    await client.post(f"{path}/retry")

    queued = log.events[-1].event
    assert isinstance(queued, Queued)
    assert queued.isolated


async def test_what_the_state_forbids_is_409_with_the_state_and_what_it_allows(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    completed = await job_after(client, log, Started(1, "w1"), Completed(1, "w1"))
    failed = await job_after(client, log, Started(1, "w1"), Failed(1, "w1", "error"))
    stopping = await job_after(client, log, Started(1, "w1"), CancelRequested())

    for path, command, state, allowed in (
        (completed, "cancel", "Completed", []),
        (completed, "retry", "Completed", []),
        (failed, "cancel", "Failed", ["retry"]),
        (stopping, "cancel", "CancelRequested", []),
        (await job_after(client, log), "retry", "Created", ["cancel"]),
    ):
        answer = await client.post(f"{path}/{command}")
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (409, "/schema#state-forbids")
        assert (problem["state"], problem["allowed"]) == (state, allowed)
        assert f"is {state}: cannot " in problem["detail"]
        assert problem["version"] == (await client.get(path)).json()["version"]


async def test_a_job_says_its_version_and_is_changed_only_at_the_one_that_is_wanted(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    path = await job_after(client, log, Started(1, "w1"))
    assert (await client.get(path)).headers["etag"] == '"2"'
    assert (await client.get(path, params={"asOf": "1"})).headers["etag"] == '"1"'
    assert (await client.get(path, params={"include": "payload"})).headers["etag"] == '"2"'

    for other in ('"1"', '"1", "3"', 'W/"2"', '"abc"', '"02"'):
        answer = await client.post(f"{path}/cancel", headers={"if-match": other})
        assert (answer.status_code, answer.json()["version"], answer.headers["etag"]) == (412, 2, '"2"'), other
        assert answer.json()["allowed"] == ["cancel"]
    for wrong in ("2", '"2', "*, *", ","):
        answer = await client.post(f"{path}/cancel", headers={"if-match": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "If-Match"), wrong
    assert len(log.events) == 2

    assert (await client.post(f"{path}/cancel", headers={"if-match": '"1", "2"'})).status_code == 202
    # Even where the version is the one that is wanted, the state has the last word.
    assert (await client.post(f"{path}/cancel", headers={"if-match": "*"})).status_code == 409


@pytest.mark.parametrize("command", ["cancel", "retry"])
async def test_what_is_no_such_command_is_refused(command: str, client: httpx.AsyncClient, log: FakeEventLog) -> None:
    path = await job_after(client, log)

    async def status(path: str, body: bytes = b"", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.post(f"{path}/{command}", content=body, headers=named)).status_code

    assert await status(UNKNOWN) == 404
    assert await status("/jobs/17") == 400
    for body in (b"[]", b'{"reason": 1}', b'{"reason": "%s"}' % (b"x" * 1001), b'{"reason": "a\\u0000b"}', b"[" * 99):
        assert await status(path, body, content_type="application/json") == 400, body
    for body in (b"{", b'{"reason": "\xff"}', b'{"reason": "\\ud800"}'):
        assert await status(path, body, content_type="application/json") == 400, body
    assert await status(path, b"{}", content_type="text/plain") == 415
    assert await status(path, b" " * (MAX_BODY_BYTES + 1), content_type="application/json") == 413
    assert (await client.get(f"{path}/{command}")).status_code == 405
    log.away = True
    assert await status(path) == 503
    assert len(log.events) == 1
