"""Jobs over HTTP: every promise of the contract that needs no worker, over the fake log.

The client holds each answer against the OpenAPI document, so these tests prove the documentation as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from commands.ports import Append
from domain.events import Attempted, Completed, Created, Event, NewEvent, Started
from domain.job import wake
from entrypoints.api.answers import Answer
from tests.api_under_test import MAX_BODY_BYTES, client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.untraced import untraced

JSON = {"content-type": "application/json"}
CSV_JOB = b'{"type": "CSV_EXPORT", "priority": "high", "payload": {"data": [{"id": 1}]}}'


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
def app(log: FakeEventLog) -> Litestar:
    return make_api(log, FakeHealthReader())


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def post(client: httpx.AsyncClient, body: bytes = CSV_JOB, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/jobs", content=body, headers=JSON | named)


async def append(log: FakeEventLog, job_id: str, *events: Event, content: bytes | None = None) -> None:
    version = len(await log.history(job_id))
    await log.append([Append(job_id, version, [NewEvent(event, content) for event in events], "w1")])


async def test_a_job_is_created_and_there_at_once(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    created = await post(client)
    found = await client.get(created.headers["location"])

    job_id = created.json()["jobId"]
    assert created.status_code == 201
    assert created.json() == {"jobId": job_id}
    assert created.headers["location"] == f"/jobs/{job_id}"
    assert found.json() == {
        "id": job_id,
        "type": "CSV_EXPORT",
        "status": "pending",
        "priority": "high",
        "attempts": 0,
        "result": None,
        "error": None,
        "createdAt": "2026-01-27T10:30:00.001Z",
        "updatedAt": "2026-01-27T10:30:00.001Z",
        "maxAttempts": 3,
        "version": 1,
        "dueAt": None,
        "tags": [],
    }
    assert untraced(log.events[0].event) == Created(
        type="CSV_EXPORT", priority="high", attempt=1, used=0, max_attempts=3
    )


async def test_priority_is_default_when_left_out(client: httpx.AsyncClient) -> None:
    created = await post(client, b'{"type": "EMAIL_SEND", "payload": {}}')

    found = (await client.get(created.headers["location"])).json()
    assert found["priority"] == "default"
    assert found["maxAttempts"] == 5


async def test_a_payload_is_not_judged(client: httpx.AsyncClient) -> None:
    assert (await post(client, b'{"type": "CSV_EXPORT", "payload": {"data": "invalid"}}')).status_code == 201


async def test_the_payload_comes_back_byte_for_byte_when_asked_for(client: httpx.AsyncClient) -> None:
    payload = b'{ "b" : 1e400, "a":"\\u0000\\ud800", "b" :[ ] }'
    created = await post(client, b'{"type": "CSV_EXPORT", "payload": ' + payload + b"}")

    with_it = await client.get(created.headers["location"], params={"include": "payload"})
    without = await client.get(created.headers["location"], params={"colour": "blue"})

    assert b'"payload":' + payload + b"}" in with_it.content
    assert b"payload" not in without.content


async def test_a_job_shows_its_error_between_attempts_and_its_result_at_the_end(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    path = (await post(client)).headers["location"]
    job_id = path.rpartition("/")[2]

    await append(log, job_id, Started(1, "w1"))
    running = (await client.get(path)).json()
    await append(log, job_id, Attempted(1, "w1", "error", 1.0, 1), content=b'"boom \\u0000"')
    waiting = (await client.get(path)).json()

    job = await log.find(job_id)
    assert job is not None
    await append(log, job_id, wake(job)[0].event)
    await append(log, job_id, Started(2, "w1"))
    await append(log, job_id, Completed(2, "w1"), content=b'{"rows": 1e400}')
    done = await client.get(path)

    assert (running["status"], running["attempts"]) == ("processing", 1)
    assert (waiting["status"], waiting["error"]) == ("pending", "boom \x00")
    assert (done.json()["status"], done.json()["attempts"], done.json()["error"]) == ("completed", 2, None)
    assert b'"result":{"rows": 1e400},' in done.content


async def test_a_history_tells_every_event_with_the_status_after_it(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    headers = (await post(client, b'{"type": "CSV_EXPORT", "payload": [ 1 ]}')).headers
    path, trace = headers["location"], headers["traceresponse"].split("-")[1]
    job_id = path.rpartition("/")[2]
    await append(log, job_id, Started(1, "w1"))
    await append(log, job_id, Completed(1, "w1"), content=b"{}")

    history = await client.get(f"{path}/events")

    assert b'"content":[ 1 ],' in history.content
    assert history.json()["events"] == [
        {
            "position": 1,
            "version": 1,
            "type": "Created",
            "data": {
                "type": "CSV_EXPORT",
                "priority": "default",
                "attempt": 1,
                "used": 0,
                "maxAttempts": 3,
                "trace": trace,
            },
            "content": [1],
            "actor": "anonymous",
            "recordedAt": "2026-01-27T10:30:00.001Z",
            "status": "pending",
        },
        {
            "position": 2,
            "version": 2,
            "type": "Started",
            "data": {"attempt": 1, "worker": "w1"},
            "content": None,
            "actor": "w1",
            "recordedAt": "2026-01-27T10:30:00.002Z",
            "status": "processing",
        },
        {
            "position": 3,
            "version": 3,
            "type": "Completed",
            "data": {"attempt": 1, "worker": "w1"},
            "content": {},
            "actor": "w1",
            "recordedAt": "2026-01-27T10:30:00.003Z",
            "status": "completed",
        },
    ]


@pytest.mark.parametrize("suffix", ["", "/events", "?include=payload"])
async def test_an_unknown_job_is_404_and_what_is_no_uuid_is_400(client: httpx.AsyncClient, suffix: str) -> None:
    unknown = await client.get(f"/jobs/0190f5fe-7c00-7a00-8000-000000000000{suffix}")
    no_uuid = [
        await client.get(f"/jobs/{text}{suffix}")
        for text in (
            "1",
            "0190f5fe7c007a008000000000000000",
            "0190f5fe-7c00-7a00-8000-00000000000g",
            "x" * 36,
            "%00%ff",
        )
    ]

    assert unknown.status_code == 404
    assert unknown.json()["type"] == "/schema#job-not-found"
    assert {answer.status_code for answer in no_uuid} == {400}
    assert {answer.json()["type"] for answer in no_uuid} == {"/schema#invalid-job-id"}


async def test_an_id_in_capitals_is_the_same_job(client: httpx.AsyncClient) -> None:
    path = (await post(client)).headers["location"]

    assert (await client.get("/jobs/" + path.rpartition("/")[2].upper())).status_code == 200


@pytest.mark.parametrize(
    "include", ["events", "payload,events", "", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
async def test_an_unknown_include_is_refused_with_what_is_allowed(client: httpx.AsyncClient, include: str) -> None:
    path = (await post(client)).headers["location"]

    refused = await client.get(path, params={"include": include})

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "include"
    assert refused.json()["errors"][0]["allowed"] == ["payload"]


async def test_a_body_that_is_wrong_is_told_field_by_field(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    refused = await post(client, b'{"type": "NOPE", "payload": 1, "priority": "urgent"}')

    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["instance"] == "/jobs"
    assert refused.json()["errors"] == [
        {
            "field": "type",
            "detail": "must be one of CSV_EXPORT, EMAIL_SEND, but is 'NOPE'",
            "pointer": "#/type",
            "allowed": ["CSV_EXPORT", "EMAIL_SEND"],
        },
        {
            "field": "priority",
            "detail": "must be one of high, default, but is 'urgent'",
            "pointer": "#/priority",
            "allowed": ["high", "default"],
        },
    ]
    assert log.events == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/vnd.x+json",
    ],
)
async def test_json_goes_by_several_names(client: httpx.AsyncClient, content_type: str) -> None:
    assert (await post(client, content_type=content_type)).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": ""},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=latin-1"},
        {"content_type": "application/jsonlines"},
        {"content_encoding": "gzip"},
    ],
)
async def test_what_is_not_sent_as_json_is_415(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    refused = await post(client, CSV_JOB, **headers)

    assert refused.status_code == 415
    assert refused.json()["type"] == "/schema#not-json"


async def test_a_body_beyond_the_limit_is_413_and_one_at_the_limit_is_not(client: httpx.AsyncClient) -> None:
    room = MAX_BODY_BYTES - len(b'{"type": "CSV_EXPORT", "payload": ""}')
    fits = b'{"type": "CSV_EXPORT", "payload": "' + b"x" * room + b'"}'

    assert (await post(client, fits)).status_code == 201
    assert (await post(client, fits + b" ")).status_code == 413


async def test_a_key_gives_the_same_job_and_answer_again(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    first = await post(client, idempotency_key='"k-1"')
    again = await post(client, idempotency_key="k-1")
    other = await post(client, idempotency_key="k-2")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert other.json() != first.json()
    assert len(log.events) == 2


async def test_a_key_with_another_body_is_422(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    first = await post(client, idempotency_key="k")

    # One space more: the same job, but not the same bytes.
    refused = await post(client, CSV_JOB + b" ", idempotency_key="k")

    assert refused.status_code == 422
    assert first.json()["jobId"] in refused.json()["detail"]
    assert len(log.events) == 1


async def test_twenty_equal_requests_at_a_time_are_one_job(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    answers = await asyncio.gather(*(post(client, idempotency_key="k") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(log.events) == 1


async def test_a_key_that_is_none_is_400(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    refused = await post(client, idempotency_key="a b")

    assert refused.status_code == 400
    assert refused.json()["type"] == "/schema#invalid-idempotency-key"
    assert log.events == []


async def test_while_the_log_is_away_requests_are_503_and_say_when_to_come_again(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    path = (await post(client)).headers["location"]
    log.away = True

    for answer in (await post(client), await client.get(path), await client.get(f"{path}/events")):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "/schema#unavailable"


async def test_the_short_way_answers_as_the_framework_does(app: Litestar, log: FakeEventLog) -> None:
    """The two hot requests go past the framework's router; with a slash at their end they do not."""
    seen: list[tuple[int, list[tuple[bytes, bytes]], bytes]] = []
    async with client_of(app) as client:
        path = (await post(client)).headers["location"]
        for requested in ("/jobs", "/jobs/"):
            for body in (b"{}", b"[", b'{"type": "CSV_EXPORT", "payload": 1}'):
                answer = await client.post(requested, content=body, headers=JSON)
                seen.append((answer.status_code, sorted(answer.headers.raw), answer.content))
        for requested in (path, f"{path}/", "/jobs/" + "x" * 36, "/jobs/" + "x" * 36 + "/"):
            answer = await client.get(requested)
            seen.append((answer.status_code, sorted(answer.headers.raw), answer.content))

    short, long = seen[0:3], seen[3:6]
    assert [status for status, _, _ in short] == [400, 400, 201]
    assert short[:2] == long[:2]
    assert [name for name, _ in short[2][1]] == [name for name, _ in long[2][1]]
    assert seen[6] == seen[7]
    assert (seen[8][0], seen[9][0]) == (400, 400)


async def test_an_unforeseen_error_is_a_500_without_particulars(
    monkeypatch: pytest.MonkeyPatch, app: Litestar, log: FakeEventLog
) -> None:
    async def burn(job_id: str) -> Answer:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(log, "find", burn)
    monkeypatch.setattr(log, "history", burn)

    async with client_of(app) as client:
        for suffix in ("", "/", "/events"):
            answer = await client.get(f"/jobs/0190f5fe-7c00-7a00-8000-000000000000{suffix}")
            assert answer.status_code == 500
            assert answer.json()["type"] == "/schema#internal-error"
            assert "secret" not in answer.text
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/job", "/jobs/x/y", "/jobs/x/events/z", "/%00", "/\ud7ff", "/schema/x", "/..%2f"])
async def test_an_unknown_path_is_a_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/schema#not-found"


async def test_a_wrong_method_is_a_405_that_names_the_right_ones(client: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("DELETE", "/jobs", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/jobs/0190f5fe-7c00-7a00-8000-000000000000", {"GET", "HEAD", "OPTIONS"}),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.headers["allow"].split(", ")) == allowed


async def test_options_names_the_methods_as_a_405_does(client: httpx.AsyncClient) -> None:
    for path in ("/jobs", "/jobs/batch", "/jobs/0190f5fe-7c00-7a00-8000-000000000000", "/health"):
        asked, refused = await client.options(path), await client.delete(path)

        assert (asked.status_code, asked.content, refused.status_code) == (204, b"", 405)
        assert set(asked.headers["allow"].split(", ")) == set(refused.headers["allow"].split(", ")), path


async def test_head_answers_as_get_does(client: httpx.AsyncClient) -> None:
    path = (await post(client)).headers["location"]

    assert (await client.head(path)).headers == (await client.get(path)).headers
    assert (await client.options(path)).status_code == 204
