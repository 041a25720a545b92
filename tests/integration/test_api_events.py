"""GET /events and GET /jobs/{id}/events over the fake log: pages, lines, and streams that are resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from litestar import Litestar

from commands.ports import Append
from domain.events import Completed, NewEvent, Started
from entrypoints.api import event_stream, streamed
from tests.api_under_test import client_of, make_api
from tests.event_streams import EventSource
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.until import until

JSON = {"content-type": "application/json"}
LINES = {"accept": "application/x-ndjson"}


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


async def post(client: httpx.AsyncClient, type: str = "CSV_EXPORT", payload: str = '{"a":\r\n [1]}') -> str:
    body = f'{{"type": "{type}", "payload": {payload}}}'
    job_id: str = (await client.post("/jobs", content=body, headers=JSON)).json()["jobId"]
    return job_id


async def complete(log: FakeEventLog, job_id: str) -> None:
    events = [NewEvent(Started(attempt=1, worker="w1")), NewEvent(Completed(attempt=1, worker="w1"), b'"done"')]
    await log.append([Append(job_id, 1, events, "w1")])


async def test_the_log_is_read_page_by_page_and_goes_on_where_it_ended(
    client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    job_id, other = await post(client), await post(client, "EMAIL_SEND")
    await complete(log, job_id)

    first = await client.get("/events?limit=3")
    second = (await client.get(first.json()["next"])).json()
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    assert [
        (e["position"], e["jobId"], e["jobType"], e["type"]) for e in first.json()["events"] + second["events"]
    ] == [
        (1, job_id, "CSV_EXPORT", "Created"),
        (2, other, "EMAIL_SEND", "Created"),
        (3, job_id, "CSV_EXPORT", "Started"),
        (4, job_id, "CSV_EXPORT", "Completed"),
    ]
    assert first.json()["events"][0]["content"] == {"a": [1]}
    assert second["head"] == 4
    assert (await client.get(second["next"])).json()["events"] == []
    later = await post(client)
    assert [e["jobId"] for e in (await client.get(second["next"])).json()["events"]] == [later]


async def test_filters_stay_with_the_next_page(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    for type in ("CSV_EXPORT", "EMAIL_SEND", "CSV_EXPORT", "CSV_EXPORT"):
        await complete(log, await post(client, type))

    page = (await client.get("/events?type=Completed,Failed&jobType=CSV_EXPORT&limit=2")).json()
    rest = (await client.get(page["next"])).json()
    assert [(e["type"], e["jobType"]) for e in page["events"] + rest["events"]] == [("Completed", "CSV_EXPORT")] * 3


async def test_lines_hold_what_pages_do_one_an_event(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    job_id = await post(client)
    await complete(log, job_id)

    for path in ("/events", f"/jobs/{job_id}/events"):
        page, lines = await client.get(path), await client.get(path, headers=LINES)
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert [msgspec.json.decode(line) for line in lines.content.splitlines()] == page.json()["events"]
    assert (await client.get("/events", headers=LINES)).headers["link"].endswith('rel="next"')


async def test_of_one_job_it_can_be_asked_what_came_after(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    job_id = await post(client)
    await complete(log, job_id)

    async def types(query: str) -> list[str]:
        return [e["type"] for e in (await client.get(f"/jobs/{job_id}/events{query}")).json()["events"]]

    assert await types("") == ["Created", "Started", "Completed"]
    assert await types("?after=1") == ["Started", "Completed"]
    assert await types("?after=3") == []
    assert await types("?type=Created,Completed") == ["Created", "Completed"]


async def test_a_stream_shows_what_happens_from_now_on(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    await post(client)
    async with EventSource(app, "/events") as source:
        await asyncio.sleep(0.05)
        job_id = await post(client)
        await complete(log, job_id)
        messages = await source.until(3)

    assert [(m.id, m.event) for m in messages] == [("2", "Created"), ("3", "Started"), ("4", "Completed")]
    assert messages[2].data["content"] == "done"
    assert messages[0].data == (await client.get("/events?after=1&limit=1")).json()["events"][0]
    assert source.headers["content-type"] == "text/event-stream"
    assert source.headers["cache-control"] == "no-store"
    assert "content-length" not in source.headers


@pytest.mark.parametrize("way", ["after", "last-event-id"])
async def test_a_stream_is_resumed_anywhere_and_nothing_is_lost_or_doubled(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog, way: str
) -> None:
    for _ in range(4):
        await complete(log, await post(client))
    everything = [(e["position"], e["type"]) for e in (await client.get("/events?limit=1000")).json()["events"]]
    for begin in range(13):
        path, headers = (
            ("/events?after=0", {"last_event_id": str(begin)}) if way != "after" else (f"/events?after={begin}", {})
        )
        async with EventSource(app, path, **headers) as source:
            messages = await source.until(12 - begin)
            await asyncio.sleep(0.01)
            assert [(int(m.id), m.event) for m in messages] == everything[begin:]
            assert source.last_id == "12"


async def test_a_stream_of_one_job_begins_at_its_beginning_and_goes_on(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    await post(client)
    job_id = await post(client)
    async with EventSource(app, f"/jobs/{job_id}/events") as source:
        await source.until(1)
        await post(client)
        await complete(log, job_id)
        messages = await source.until(3)
    async with EventSource(app, f"/jobs/{job_id}/events", last_event_id=messages[1].id) as resumed:
        [last] = await resumed.until(1)
        await asyncio.sleep(0.05)

    assert [m.event for m in messages] == ["Created", "Started", "Completed"]
    assert last == messages[2]
    assert len(resumed.messages) == 1


async def test_a_stream_shows_only_what_is_wanted(app: Litestar, client: httpx.AsyncClient, log: FakeEventLog) -> None:
    async with EventSource(app, "/events?type=Completed&jobType=EMAIL_SEND") as source:
        await asyncio.sleep(0.05)
        for type in ("CSV_EXPORT", "EMAIL_SEND", "CSV_EXPORT"):
            await complete(log, await post(client, type))
        [message] = await source.until(1)
        await asyncio.sleep(0.05)

    assert (message.event, message.data["jobType"]) == ("Completed", "EMAIL_SEND")
    assert len(source.messages) == 1


async def test_a_silent_stream_says_that_it_lives_and_how_far_it_is(
    app: Litestar, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.0)
    async with EventSource(app, "/events?type=Failed") as source:
        await post(client)
        await until(lambda: source.beats >= 3 and source.last_id == "1")
    assert source.messages == []


async def test_a_slow_reader_is_cut_off_without_harm_to_others(
    app: Litestar, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "STALL_SECONDS", 0.1)
    async with EventSource(app, "/events?after=0") as slow, EventSource(app, "/events?after=0") as quick:
        await post(client)
        await quick.until(1)
        slow.takes.clear()
        for _ in range(20):
            await post(client)
        await quick.until(21)
        assert slow._task is not None
        async with asyncio.timeout(30):
            await slow._task
    assert not slow.is_over  # it was not told that this is the end
    async with EventSource(app, "/events", last_event_id=str(slow.last_id)) as resumed:
        await resumed.until(21 - len(slow.messages))
    assert [m.id for m in slow.messages + resumed.messages] == [str(n) for n in range(1, 22)]


async def test_an_outage_does_not_end_a_stream(app: Litestar, client: httpx.AsyncClient, log: FakeEventLog) -> None:
    async with EventSource(app, "/events") as source:
        await asyncio.sleep(0.05)
        log.away = True
        await asyncio.sleep(0.05)
        log.away = False
        await post(client)
        await source.until(1)


async def test_while_the_log_cannot_be_read_no_stream_begins(app: Litestar, log: FakeEventLog) -> None:
    log.away = True
    async with EventSource(app, "/events") as source:
        await until(lambda: source.is_over)
    assert source.status == 503


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/events?after=x", 400, "after must be a position of the log"),
        ("/events?type=Done", 400, "type must be some of Created"),
        ("/events?jobType=", 400, "jobType must be names of job types"),
        ("/events?limit=1001", 400, "limit must be a number from 1 to 1000"),
        ("/events?job=1", 400, "job is no parameter here"),
        ("/events?after=1&after=2", 400, "after must be given once"),
        ("/events?after=1", 404, "the log ends at position 0"),
        ("/jobs/4711/events", 400, "is not a job id"),
        ("/jobs/0190f5fe-7c00-7a00-8000-000000000000/events", 404, "there is no job"),
        ("/jobs/0190f5fe-7c00-7a00-8000-000000000000/events?limit=5", 400, "limit is no parameter here"),
    ],
)
async def test_what_cannot_be_answered_is_explained(
    app: Litestar, client: httpx.AsyncClient, path: str, status: int, said: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    async with EventSource(app, path) as source:
        await until(lambda: source.is_over)
    assert source.status == status


async def test_an_after_that_is_none_is_refused_though_the_last_event_id_counts_more(client: httpx.AsyncClient) -> None:
    answer = await client.get("/events?after=-1", headers={"last-event-id": "0"})

    assert answer.status_code == 400
    assert "after" in answer.json()["detail"]


async def test_a_last_event_id_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/events", headers={"last-event-id": "yesterday"})

    assert answer.status_code == 400
    assert "Last-Event-ID" in answer.json()["detail"]
