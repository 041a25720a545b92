"""How far a job is, from GET /jobs/{id} and in the stream of its events, over the fake log and board."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from commands.ports import Append, Appended
from commands.progress import Attempt
from commands.share_progress import SharedProgress
from domain.events import Attempted, Cancelled, CancelRequested, Completed, Event, NewEvent, Queued, Started
from entrypoints.api import event_stream, followed_progress
from tests.api_under_test import client_of, make_api
from tests.event_streams import EventSource, Message
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.fakes.progress_board import FakeProgressBoard
from tests.until import until

JSON = {"content-type": "application/json"}
BODY = b'{"type": "CSV_EXPORT", "payload": null}'
AGAIN = Queued(type="CSV_EXPORT", priority="default", attempt=2, used=1, max_attempts=3)


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
def board(log: FakeEventLog) -> FakeProgressBoard:
    return FakeProgressBoard(log)


@pytest.fixture
def app(log: FakeEventLog, board: FakeProgressBoard) -> Litestar:
    return make_api(log, FakeHealthReader(), progress=board)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream looks whenever something is appended."""
    monkeypatch.setattr(followed_progress, "LOOK_EVERY", 0.0)


async def post(client: httpx.AsyncClient) -> str:
    job_id: str = (await client.post("/jobs", content=BODY, headers=JSON)).json()["jobId"]
    return job_id


async def append(log: FakeEventLog, job_id: str, expected: int, *events: Event) -> None:
    [answer] = await log.append([Append(job_id, expected, [NewEvent(event) for event in events], "w1")])
    assert isinstance(answer, Appended), answer


async def start(log: FakeEventLog, client: httpx.AsyncClient) -> str:
    job_id = await post(client)
    await append(log, job_id, 1, Started(attempt=1, worker="w1"))
    return job_id


async def test_a_running_job_shows_how_far_it_is_and_is_at_the_same_version(
    client: httpx.AsyncClient, log: FakeEventLog, board: FakeProgressBoard
) -> None:
    job_id = await start(log, client)
    before = await client.get(f"/jobs/{job_id}")
    assert "progress" not in before.json()

    await board.show({Attempt(job_id, 1): (0.4, "4 rows written")}, over=())

    after = await client.get(f"/jobs/{job_id}?include=payload")
    progress = after.json()["progress"]
    assert progress.pop("at").endswith("Z")
    assert progress == {"attempt": 1, "fraction": 0.4, "note": "4 rows written"}
    assert after.headers["etag"] == before.headers["etag"]
    assert {name: after.json()[name] for name in ("version", "updatedAt")} == {
        name: before.json()[name] for name in ("version", "updatedAt")
    }
    cancelled = await client.post(f"/jobs/{job_id}/cancel", headers={"if-match": before.headers["etag"]})
    assert cancelled.status_code == 202
    # It may take its time until the code hears of it.
    assert (await client.get(f"/jobs/{job_id}")).json()["progress"]["fraction"] == 0.4


async def test_what_is_left_of_an_attempt_that_is_over_is_not_shown(
    client: httpx.AsyncClient, log: FakeEventLog, board: FakeProgressBoard
) -> None:
    job_id = await start(log, client)
    await board.show({Attempt(job_id, 1): (0.9, "")}, over=())
    asked = board.asked

    await append(log, job_id, 2, Attempted(attempt=1, worker="w1", outcome="lost", retry_after=1.0, used=1))
    assert "progress" not in (await client.get(f"/jobs/{job_id}")).json()
    assert board.asked == asked  # nor is it asked for

    await append(log, job_id, 3, AGAIN, Started(attempt=2, worker="w1"))
    assert "progress" not in (await client.get(f"/jobs/{job_id}")).json()
    await board.show({Attempt(job_id, 2): (0.1, "")}, over=())
    assert (await client.get(f"/jobs/{job_id}")).json()["progress"]["attempt"] == 2
    assert "progress" not in (await client.get(f"/jobs/{job_id}?asOf=2")).json()


async def test_many_who_ask_at_once_share_two_queries(log: FakeEventLog) -> None:
    board = FakeProgressBoard(log)
    await board.show({Attempt(f"j{number}", 1): (number / 100, "") for number in range(100)}, over=())
    shared = SharedProgress(board)

    first = asyncio.create_task(shared.of("j0", attempt=1))
    gone = asyncio.create_task(shared.of("j1", attempt=1))
    await asyncio.sleep(0)
    gone.cancel()
    found = await asyncio.gather(*(shared.of(f"j{number}", attempt=1) for number in range(100)))

    assert [progress and progress.fraction for progress in found] == [number / 100 for number in range(100)]
    assert (await first) == found[0]
    assert board.asked <= 2
    assert await shared.of("j5", attempt=2) is None


def kinds(messages: list[Message]) -> list[str]:
    return [
        f"progress {message.data['fraction']}" if message.event == "progress" else message.event for message in messages
    ]


@pytest.mark.usefixtures("quick")
async def test_a_jobs_stream_tells_how_far_it_is_between_the_events_and_without_a_place(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog, board: FakeProgressBoard
) -> None:
    job_id = await start(log, client)
    await board.show({Attempt(job_id, 1): (0.25, "a quarter")}, over=())
    async with EventSource(app, f"/jobs/{job_id}/events") as source:
        await source.until(3)
        await board.show({Attempt(job_id, 1): (0.5, "half")}, over=())
        await source.until(4)
        assert source.last_id == "2"  # of Started: a client resumes behind it
        await append(log, job_id, 2, Attempted(attempt=1, worker="w1", outcome="error", retry_after=1.0, used=1))
        await source.until(5)
        await board.show({Attempt(job_id, 1): (0.75, "told too late")}, over=())
        await append(log, job_id, 3, AGAIN)
        await append(log, job_id, 4, Started(attempt=2, worker="w1"))
        await source.until(7)
        await board.show({Attempt(job_id, 2): (0.0, "from the beginning")}, over=())
        await source.until(8)
        await append(log, job_id, 5, CancelRequested())
        await source.until(9)
        await board.show({Attempt(job_id, 2): (0.125, "cancelled soon")}, over=())
        await source.until(10)
        await append(log, job_id, 6, Cancelled(attempt=2, worker="w1"))
        messages = await source.until(11)

    assert kinds(messages) == [
        "Created",
        "Started",
        "progress 0.25",
        "progress 0.5",
        "Attempted",
        "Queued",
        "Started",
        "progress 0.0",
        "CancelRequested",
        "progress 0.125",
        "Cancelled",
    ]
    assert [message.id for message in messages if message.event == "progress"] == [""] * 4
    assert messages[2].data == {**messages[2].data, "attempt": 1, "note": "a quarter"}

    async with EventSource(app, f"/jobs/{job_id}/events", last_event_id="2") as source:
        messages = await source.until(5)
    assert kinds(messages) == ["Attempted", "Queued", "Started", "CancelRequested", "Cancelled"]


@pytest.mark.usefixtures("quick")
async def test_who_wants_some_types_of_events_or_all_jobs_is_told_of_no_progress(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog, board: FakeProgressBoard
) -> None:
    job_id = await start(log, client)
    await board.show({Attempt(job_id, 1): (0.5, "")}, over=())
    async with (
        EventSource(app, f"/jobs/{job_id}/events?type=Started,Completed") as of_types,
        EventSource(app, "/events?after=0") as of_all,
    ):
        await of_types.until(1)
        await of_all.until(2)
        await append(log, job_id, 2, Completed(attempt=1, worker="w1"))
        await of_types.until(2)
        await of_all.until(3)

    assert kinds(of_types.messages) == ["Started", "Completed"]
    assert kinds(of_all.messages) == ["Created", "Started", "Completed"]


@pytest.mark.usefixtures("quick")
async def test_progress_is_no_sign_of_how_far_the_stream_is(
    app: Litestar,
    client: httpx.AsyncClient,
    log: FakeEventLog,
    board: FakeProgressBoard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05)
    job_id = await start(log, client)
    async with EventSource(app, f"/jobs/{job_id}/events") as source:
        await source.until(2)
        await post(client)
        for number in range(50):
            await board.show({Attempt(job_id, 1): (number / 50, "")}, over=())
            await asyncio.sleep(0.005)
        await until(lambda: source.beats > 0 and source.last_id == "3", saw=lambda: (source.beats, source.last_id))
        assert len(source.messages) > 2


@pytest.mark.usefixtures("quick")
async def test_a_stream_goes_on_while_progress_cannot_be_read(
    app: Litestar, client: httpx.AsyncClient, log: FakeEventLog, board: FakeProgressBoard
) -> None:
    job_id = await start(log, client)
    board.away = True
    async with EventSource(app, f"/jobs/{job_id}/events") as source:
        await until(lambda: board.asked > 0, saw=lambda: source.messages)
        await append(log, job_id, 2, CancelRequested())
        await source.until(3)
        board.away = False
        await board.show({Attempt(job_id, 1): (0.5, "")}, over=())
        messages = await source.until(4)

    assert kinds(messages) == ["Created", "Started", "CancelRequested", "progress 0.5"]
