"""What watchers are told: /health, /readyz, /livez."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from commands.health import Health
from commands.outages import WRITE_LOG, Outages
from commands.ports import Unavailable
from entrypoints.api import health_endpoints
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import ALL_WELL, FakeHealthReader
from tests.fakes.report import FakeReport


@pytest.fixture
def reader() -> FakeHealthReader:
    return FakeHealthReader()


@pytest.fixture
async def client(reader: FakeHealthReader) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(FakeEventLog(), reader)) as client:
        yield client


async def test_all_is_well(client: httpx.AsyncClient) -> None:
    health = await client.get("/health")

    assert health.status_code == 200
    assert health.headers["cache-control"] == "no-store"
    assert health.json() == {
        "status": "ok",
        "degraded": [],
        "parts": {
            "postgres": {"status": "ok"},
            "redis": {"status": "ok", "reportedAt": "2026-01-27T10:30:00.000Z"},
            "dispatcher": {"status": "ok", "detail": "dispatcher-1", "lag": 0},
            "projector": {"status": "ok", "lag": 0, "lagSeconds": 0.0},
            "workers": {"status": "ok", "count": 1},
        },
        "access": "open",
    }
    assert (await client.get("/readyz")).json() == {"status": "ready", "reasons": []}


@pytest.mark.parametrize(
    ("changes", "part", "expected"),
    [
        (
            {"redis_state": "connecting to 10.0.0.7"},
            "redis",
            {"status": "failing", "detail": "the dispatcher's log says why"},
        ),
        ({"redis_state": "unknown"}, "redis", {"status": "unknown"}),
        ({"redis_report_age": 60.0}, "redis", {"status": "unknown", "detail": "no dispatcher has reported lately"}),
        ({"redis_report_age": None, "redis_reported_at": None}, "redis", {"status": "unknown"}),
        ({"dispatcher": None}, "dispatcher", {"status": "missing", "lag": 0}),
        ({"workers": 0}, "workers", {"status": "missing", "count": 0}),
        (
            {"workers": 3, "workers_direct": 2},
            "workers",
            {
                "status": "degraded",
                "detail": "2 of 3 claim jobs directly from PostgreSQL, as Redis cannot be used",
                "count": 3,
            },
        ),
        (
            {"workers": 3, "workers_unable": 1},
            "workers",
            {"status": "degraded", "detail": "1 of 3 cannot claim jobs", "count": 3},
        ),
        (
            {"workers": 3, "workers_unable": 3},
            "workers",
            {"status": "failing", "detail": "none of them can claim jobs", "count": 3},
        ),
        ({"head": 50, "projection_age": 31.0}, "projector", {"status": "behind", "lag": 43, "lagSeconds": 31.0}),
    ],
)
async def test_a_part_that_is_not_ok_is_named_and_the_api_works_on(
    client: httpx.AsyncClient, reader: FakeHealthReader, changes: dict[str, Any], part: str, expected: dict[str, Any]
) -> None:
    reader.state = replace(ALL_WELL, **changes)

    health = await client.get("/health")

    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert health.json()["degraded"] == [part]
    assert expected.items() <= health.json()["parts"][part].items()


async def test_a_lag_below_the_bound_is_shown_and_no_fault(client: httpx.AsyncClient, reader: FakeHealthReader) -> None:
    reader.state = replace(ALL_WELL, head=50, projection_age=0.25, relayed=49)

    health = (await client.get("/health")).json()

    assert health["degraded"] == []
    assert health["parts"]["projector"] == {"status": "ok", "lag": 43, "lagSeconds": 0.25}
    assert health["parts"]["dispatcher"]["lag"] == 1
    assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "PostgreSQL cannot be reached"),
        (replace(ALL_WELL, schema_fits=False), "the schema does not fit this release"),
        (replace(ALL_WELL, projection_age=31.0), "the read side is 31 s behind the log"),
    ],
)
async def test_what_makes_the_api_unready(
    client: httpx.AsyncClient, reader: FakeHealthReader, state: Health | None, reason: str
) -> None:
    reader.state = state

    ready = await client.get("/readyz")

    assert ready.status_code == 503
    assert ready.json() == {"status": "not ready", "reasons": [reason]}
    assert (await client.get("/livez")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("state", "postgres"),
    [(None, "unreachable"), (replace(ALL_WELL, schema_fits=False), "schema does not fit")],
)
async def test_without_a_usable_database_the_api_is_unavailable(
    client: httpx.AsyncClient, reader: FakeHealthReader, state: Health | None, postgres: str
) -> None:
    reader.state = state

    health = await client.get("/health")

    assert health.status_code == 503
    assert health.json() == {
        "status": "unavailable",
        "degraded": ["postgres"],
        "parts": {"postgres": {"status": postgres}},
        "access": "open",
    }


async def test_a_log_that_cannot_be_written_makes_the_api_unready_though_jobs_can_be_read() -> None:
    outages = Outages(report=FakeReport())
    async with client_of(make_api(FakeEventLog(), FakeHealthReader(), outages)) as client:
        outages.failed(Unavailable("too many connections", dependency="PostgreSQL"), doing=WRITE_LOG)
        unready = await client.get("/readyz")
        outages.succeeded(doing=WRITE_LOG)
        ready = await client.get("/readyz")

    assert unready.json() == {"status": "not ready", "reasons": ["the log cannot be written"]}
    assert (unready.status_code, ready.status_code) == (503, 200)


async def test_an_outage_is_told_once_however_many_ask(reader: FakeHealthReader) -> None:
    report = FakeReport()
    log = FakeEventLog()
    async with client_of(make_api(log, reader, Outages(report=report))) as client:
        reader.state, log.away = None, True
        for _ in range(20):
            assert (await client.get("/jobs/0190f5fe-7c00-7a00-8000-000000000000")).status_code == 503
            assert (await client.get("/readyz")).status_code == 503
        reader.state, log.away = ALL_WELL, False
        assert (await client.get("/readyz")).status_code == 200

    assert [(event, fields["dependency"]) for event, fields in report.lines] == [
        ("dependency away", "PostgreSQL"),
        ("dependency back", "PostgreSQL"),
    ]


async def test_a_silent_database_is_told_in_time_and_asked_once(
    client: httpx.AsyncClient, reader: FakeHealthReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_endpoints, "_READ_TIMEOUT", 0.05)
    answered = asyncio.Event()
    asked = 0

    async def stall() -> Health:
        nonlocal asked
        asked += 1
        await answered.wait()
        return ALL_WELL

    monkeypatch.setattr(reader, "read", stall)

    silent = await asyncio.gather(*(client.get("/health") for _ in range(20)), client.get("/readyz"))
    asked_while_silent = asked
    answered.set()
    healed = await client.get("/health")

    assert {answer.status_code for answer in silent} == {503}
    assert asked_while_silent == 1
    assert healed.status_code == 200
