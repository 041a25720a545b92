"""What a new job may say of itself over HTTP: when, how often, for how long, and its tags; over the fake log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from domain.events import Created
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.untraced import untraced


@pytest.fixture
def log() -> FakeEventLog:
    return FakeEventLog()


@pytest.fixture
async def client(log: FakeEventLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader())) as client:
        yield client


async def post(client: httpx.AsyncClient, **options: Any) -> httpx.Response:
    return await client.post("/jobs", json={"type": "CSV_EXPORT", "payload": None, **options})


async def created(client: httpx.AsyncClient, log: FakeEventLog, **options: Any) -> tuple[Created, dict[str, Any]]:
    """The event that it becomes, and how GET shows it."""
    answer = await post(client, **options)
    assert answer.status_code == 201, answer.text
    event = log.events[-1].event
    assert isinstance(event, Created)
    return event, (await client.get(answer.headers["location"])).json()


async def test_a_job_may_wait_for_a_time(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    event, shown = await created(client, log, runAt="2026-01-28T02:00:00.5+01:00")

    assert event.run_at == datetime(2026, 1, 28, 1, 0, 0, 500_000, tzinfo=UTC)
    assert (shown["status"], shown["dueAt"]) == ("pending", "2026-01-28T01:00:00.500Z")


async def test_a_job_may_wait_for_some_seconds(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    event, shown = await created(client, log, delaySeconds=90)

    assert event.delay == 90
    assert (shown["createdAt"], shown["dueAt"]) == ("2026-01-27T10:30:00.001Z", "2026-01-27T10:31:30.001Z")


async def test_a_job_may_have_limits_and_tags_of_its_own(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    event, shown = await created(client, log, maxAttempts=7, timeoutSeconds=1.5, tags=["nightly", "größe ☃", "nightly"])

    assert (event.max_attempts, event.timeout, event.tags) == (7, 1.5, ("nightly", "größe ☃"))
    assert (shown["maxAttempts"], shown["tags"]) == (7, ["nightly", "größe ☃"])


async def test_what_is_null_is_as_if_it_were_left_out(client: httpx.AsyncClient, log: FakeEventLog) -> None:
    nothing = dict.fromkeys(("runAt", "delaySeconds", "maxAttempts", "timeoutSeconds", "tags"))

    event, _ = await created(client, log, **nothing)

    assert untraced(event) == Created(type="CSV_EXPORT", priority="default", attempt=1, used=0, max_attempts=3)


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"runAt": "2026-01-28T02:00:00"}, "runAt", "a time with its offset"),
        ({"runAt": "tomorrow"}, "runAt", "a time with its offset"),
        ({"runAt": "1969-12-31T00:00:00Z"}, "runAt", "from 1970-01-02 to 9998-12-31"),
        ({"runAt": "2026-01-28T02:00:00Z", "delaySeconds": 1}, "runAt", "not both"),
        ({"delaySeconds": -1}, "delaySeconds", "from 0 to 315619200 (ten years)"),
        ({"delaySeconds": "90"}, "delaySeconds", "a number"),
        ({"delaySeconds": 315_619_201}, "delaySeconds", "ten years"),
        ({"maxAttempts": 0}, "maxAttempts", "from 1 to 1000"),
        ({"maxAttempts": 1.5}, "maxAttempts", "a whole number"),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "from 0.001 to 604800 (seven days)"),
        ({"tags": "nightly"}, "tags", "a list of at most 10 texts"),
        ({"tags": ["x" * 65]}, "tags", "1 to 64 characters"),
        ({"tags": [str(n) for n in range(11)]}, "tags", "at most 10"),
        ({"tags": ["a\nb"]}, "tags", "control character"),
        ({"tags": ["a\0b"]}, "tags", "control character"),
    ],
)
async def test_what_is_not_allowed_is_named_with_what_is(
    options: dict[str, Any], field: str, said: str, client: httpx.AsyncClient, log: FakeEventLog
) -> None:
    answer = await post(client, **options)

    [error] = answer.json()["errors"]
    assert (answer.status_code, answer.json()["type"]) == (400, "/schema#invalid-body")
    assert (error["field"], error["pointer"]) == (field, f"#/{field}")
    assert said in error["detail"]
    assert log.events == []


async def test_all_that_is_wrong_is_named_at_once(client: httpx.AsyncClient) -> None:
    answer = await post(client, priority="urgent", maxAttempts=0, timeoutSeconds=-1, tags=[""])

    assert [error["field"] for error in answer.json()["errors"]] == [
        "priority",
        "maxAttempts",
        "timeoutSeconds",
        "tags",
    ]
