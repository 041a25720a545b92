"""Many jobs in one request: one append, answered item by item, over the fake log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from commands.ports import Answer, Append
from domain.events import Created
from tests.api_under_test import MAX_BATCH_BYTES, MAX_BODY_BYTES, client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader

JSON = "application/json"
LINES = "application/x-ndjson"
GOOD = b'{"type":"CSV_EXPORT","payload":{"n":%d}}'


class CountingLog(FakeEventLog):
    """Counts how many commands each append brings."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        self.sizes.append(len(commands))
        return await super().append(commands)


@pytest.fixture
def log() -> CountingLog:
    return CountingLog()


@pytest.fixture
async def client(log: CountingLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader())) as client:
        yield client


async def post(client: httpx.AsyncClient, body: bytes, *, kind: str = LINES, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/jobs/batch", content=body, headers={"content-type": kind} | named)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b" [" + GOOD % 1 + b" ,\n" + GOOD % 2 + b"] "),
        (LINES, GOOD % 1 + b"\r\n\n  \t" + GOOD % 2),
        ("application/jsonl; charset=utf-8", GOOD % 1 + b"\n" + GOOD % 2 + b"\n"),
    ],
)
async def test_all_jobs_of_a_batch_are_there_in_their_order_after_one_append(
    kind: str, body: bytes, client: httpx.AsyncClient, log: CountingLog
) -> None:
    answer = await post(client, body, kind=kind)

    told = answer.json()
    assert answer.status_code == 201
    assert (told["created"], told["replayed"], told["refused"]) == (2, 0, 0)
    assert [item["status"] for item in told["items"]] == [201, 201]
    assert [item["jobId"] for item in told["items"]] == [event.job_id for event in log.events]
    assert [event.content for event in log.events] == [b'{"n":1}', b'{"n":2}']
    assert log.sizes == [2]


async def test_a_mixed_batch_is_answered_item_by_item(client: httpx.AsyncClient, log: CountingLog) -> None:
    deep = b'{"type":"CSV_EXPORT","payload":' + b"[" * 65 + b"]" * 65 + b"}"
    items = {
        GOOD % 1: 201,
        b'{"type":"NOPE","payload":1,"tags":[""]}': 400,
        b"{not json": 400,
        b'"a text"': 400,
        b'{"type":"CSV_EXPORT","payload":"\xff"}': 400,
        deep: 400,
        b'{"type":"CSV_EXPORT","payload":"' + b"x" * MAX_BODY_BYTES + b'"}': 413,
        b'{"type":"CSV_EXPORT","payload":1,"runAt":"2026-01-28T02:00:00Z","delaySeconds":1}': 400,
        b'{"type":"CSV_EXPORT","payload":1,"idempotencyKey":"gr\xc3\xb6\xc3\x9fe"}': 400,
        b'{"type":"CSV_EXPORT","payload":"\\ud800","priority":"high","tags":["a"],"maxAttempts":7}': 201,
    }

    answer = await post(client, b"\n".join(items))

    told = answer.json()
    assert answer.status_code == 207
    assert [item["status"] for item in told["items"]] == list(items.values())
    assert (told["created"], told["refused"]) == (2, 8)
    assert [error["field"] for error in told["items"][1]["problem"]["errors"]] == ["type", "tags"]
    assert told["items"][1]["problem"]["instance"] == "/jobs/batch"
    last = log.events[-1].event
    assert isinstance(last, Created)
    assert (last.priority, last.tags, last.max_attempts) == ("high", ("a",), 7)
    assert log.sizes == [2]


async def test_a_batch_without_a_good_job_is_told_so_and_appends_nothing(
    client: httpx.AsyncClient, log: CountingLog
) -> None:
    answer = await post(client, b"[1]", kind=JSON)

    assert (answer.status_code, answer.json()["refused"]) == (207, 1)
    assert log.sizes == []


async def test_other_requests_are_answered_while_a_large_batch_is_worked_on(
    client: httpx.AsyncClient, log: CountingLog
) -> None:
    batch = asyncio.create_task(post(client, b"\n".join(b"[" if n % 2 else GOOD % n for n in range(2_000))))
    phases: set[int] = set()
    while not batch.done():
        await asyncio.sleep(0)
        assert (await client.get("/livez")).status_code == 200
        phases.add(len(log.events))

    told = batch.result().json()
    assert (told["created"], told["refused"]) == (1_000, 1_000)
    assert log.sizes == [1_000]
    assert phases == {0, 1_000}  # before the append, and after it


def keyed(key: str, payload: int = 1) -> bytes:
    return json.dumps({"type": "CSV_EXPORT", "payload": payload, "idempotencyKey": key}).encode()


async def test_a_batch_with_keys_may_be_sent_again(client: httpx.AsyncClient, log: CountingLog) -> None:
    first = (await post(client, b"\n".join([keyed("a"), keyed("b")]))).json()

    answer = await post(client, b"\n".join([keyed("a"), keyed("c"), keyed("b", 2), keyed("c"), keyed("c", 3)]))

    items: list[dict[str, Any]] = answer.json()["items"]
    assert answer.status_code == 207
    assert [item["status"] for item in items] == [201, 201, 422, 201, 422]
    assert [item.get("replayed", False) for item in items] == [True, False, False, True, False]
    assert items[0]["jobId"] == first["items"][0]["jobId"]
    assert items[3]["jobId"] == items[1]["jobId"]
    assert (answer.json()["created"], answer.json()["replayed"], answer.json()["refused"]) == (1, 2, 2)
    assert len(log.events) == 3


async def test_ten_thousand_jobs_are_a_batch_and_one_more_are_none(client: httpx.AsyncClient, log: CountingLog) -> None:
    job = b'{"type":"CSV_EXPORT","payload":1}\n'

    assert (await post(client, job * 10_001)).json()["type"] == "/schema#too-many-jobs"
    assert log.sizes == []
    assert (await post(client, job * 10_000)).json()["created"] == 10_000
    assert log.sizes == [10_000]


async def test_what_is_no_batch_is_refused_as_a_whole(client: httpx.AsyncClient, log: CountingLog) -> None:
    async def refused(body: bytes, *, kind: str = JSON, **headers: str) -> tuple[int, str]:
        answer = await post(client, body, kind=kind, **headers)
        return answer.status_code, answer.json()["type"].removeprefix("/schema#")

    for body in (b"[]", GOOD % 1, b"1", b"[" * 100_000):
        status, code = await refused(body)
        assert (status, code) in ((400, "invalid-batch"), (400, "malformed-json")), body[:20]
    assert await refused(b"\n \n", kind=LINES) == (400, "invalid-batch")
    for body in (b"", b"[" + GOOD % 1, b"[1] 2", b"[1,]", b"\xff"):
        assert await refused(body) == (400, "malformed-json"), body
    assert await refused(GOOD % 1, kind="text/plain") == (415, "not-json")
    assert await refused(GOOD % 1, kind=LINES, content_encoding="gzip") == (415, "not-json")
    assert await refused(b" " * (MAX_BATCH_BYTES + 1)) == (413, "body-too-large")
    log.away = True
    assert await refused(GOOD % 1, kind=LINES) == (503, "unavailable")
    assert log.events == []
    # It is no job, either.
    assert (await client.get("/jobs/batch")).status_code == 405
