"""What the API refuses for being too much, over the fake log, and that no answer tells of the code behind it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from commands.api_keys import create_key
from commands.key_ring import KeyRing
from commands.ports import Append
from tests.api_under_test import client_of, make_api
from tests.event_streams import EventSource
from tests.fakes.api_keys import FakeApiKeys
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.until import until

JSON = {"content-type": "application/json"}
JOB = {"type": "CSV_EXPORT", "payload": 1}


async def test_each_key_may_send_so_many_requests_a_second_and_is_told_how_many_are_left() -> None:
    keys = FakeApiKeys()
    tokens = [await create_key(name, "submit", by="test", keys=keys) for name in ("shop", "billing")]
    bearers = [{"authorization": f"Bearer {token}"} for token in tokens]
    ring = KeyRing(keys, now=lambda: 0.0)
    await ring.renew()
    app = make_api(FakeEventLog(), FakeHealthReader(), keys=ring, max_requests_per_second=1)
    async with client_of(app) as client:
        for bearer in bearers:
            answers = [await client.post("/jobs", json=JOB, headers=bearer) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [201, 429, 429]
            assert answers[0].headers["ratelimit-policy"] == '"requests";q=1;w=1'
            assert answers[0].headers["ratelimit"] == '"requests";r=0;t=1'
            assert answers[1].headers["retry-after"] == "1"
            assert answers[1].json()["type"] == "/schema#too-many-requests"
        # The other way to the endpoints counts in the same bucket; those who have no key, and watchers, do not count.
        assert (await client.get("/jobs", headers=bearers[-1])).status_code == 429
        assert {(await client.get("/jobs")).status_code for _ in range(3)} == {401}
        assert {(await client.get("/livez")).status_code for _ in range(3)} == {200}


async def test_while_there_are_no_keys_each_address_counts() -> None:
    app = make_api(FakeEventLog(), FakeHealthReader(), max_requests_per_second=1)
    for address in ("10.0.0.1", "10.0.0.2"):
        asked: Any = app  # the framework's types and httpx's do not fit
        transport = httpx.ASGITransport(app=asked, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            assert [(await client.get("/jobs")).status_code for _ in range(2)] == [200, 429]


async def test_without_the_setting_nobody_counts() -> None:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        answers = [await client.get("/jobs") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


async def test_so_many_event_streams_are_open_at_once_and_a_place_is_free_again_after_one() -> None:
    log = FakeEventLog()
    app = make_api(log, FakeHealthReader(), max_event_streams=2)
    live = {"accept": "text/event-stream"}
    async with client_of(app) as client:
        job_id = (await client.post("/jobs", json=JOB)).json()["jobId"]
        async with EventSource(app, "/events") as first:
            async with EventSource(app, f"/jobs/{job_id}/events?after=0") as second:
                await until(lambda: first.last_id is not None and second.last_id is not None)
                for path in ("/events", f"/jobs/{job_id}/events"):
                    refused = await client.get(path, headers=live)
                    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
                    assert refused.json()["type"] == "/schema#too-many-streams"
                assert (await client.get("/events")).status_code == 200  # pages take no place
            async with EventSource(app, "/events") as third:
                await until(lambda: third.last_id is not None)


async def test_a_stream_that_is_refused_for_another_reason_takes_no_place() -> None:
    app = make_api(FakeEventLog(), FakeHealthReader(), max_event_streams=1)
    async with client_of(app) as client:
        for _ in range(3):
            answer = await client.get("/events?after=9", headers={"accept": "text/event-stream"})
            assert answer.status_code == 404
    async with EventSource(app, "/events") as source:
        await until(lambda: source.last_id is not None)


@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch", "/jobs/0190f5fe-7c00-7a00-8000-000000000000/cancel"])
async def test_a_body_nested_a_hundred_thousand_deep_is_an_ordinary_error(path: str) -> None:
    deep = b'{"type":"CSV_EXPORT","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    app = make_api(FakeEventLog(), FakeHealthReader(), max_body_bytes=1_000_000)
    async with client_of(app) as client:
        for body in (deep, b"[" * 100_000, b'[{"a":' * 50_000, b"[" + deep + b"]"):
            answer = await client.post(path, content=body, headers=JSON)
            assert answer.status_code in (207, 400, 404), answer.text
            assert path != "/jobs" or answer.status_code == 400
        assert (await client.post("/jobs", json=JOB)).status_code == 201


@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch", "/jobs/0190f5fe-7c00-7a00-8000-000000000000/retry"])
@pytest.mark.parametrize("coding", ["gzip", "br, gzip", "zstd", "deflate"])
async def test_a_compressed_body_is_refused_and_told_what_is_understood(path: str, coding: str) -> None:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        answer = await client.post(path, content=b"\x1f\x8b", headers={**JSON, "content-encoding": coding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


class _BrokenLog(FakeEventLog):
    """Raises what nobody foresaw, with what nobody must see."""

    async def append(self, commands: list[Append]) -> list[object]:  # type: ignore[override]
        password = "in a frame"
        raise RuntimeError(f"secret {password}")


async def test_an_error_that_nobody_foresaw_is_told_without_a_trace_of_it() -> None:
    app = make_api(_BrokenLog(), FakeHealthReader())
    async with client_of(app) as client:
        for path, body in (
            ("/jobs", b'{"type":"CSV_EXPORT","payload":1}'),
            ("/jobs/batch", b'[{"type":"CSV_EXPORT","payload":1}]'),
        ):
            answer = await client.post(path, content=body, headers=JSON)
            assert answer.status_code == 500
            assert answer.json() == {
                "type": "/schema#internal-error",
                "title": "Something went wrong on our side",
                "status": 500,
                "detail": "the request could not be answered; the log of the service says why",
                "instance": path,
            }
            assert answer.headers["cache-control"] == "no-store"


async def test_pages_may_run_nothing_and_be_shown_in_no_frame() -> None:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        page = await client.get("/schema")
    assert "script" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert (page.headers["x-frame-options"], page.headers["referrer-policy"]) == ("DENY", "no-referrer")


async def test_what_is_told_of_jobs_is_kept_by_no_cache() -> None:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        created = await client.post("/jobs", json=JOB)
        for path in (
            created.headers["location"],
            created.headers["location"] + "/events",
            "/jobs",
            "/events",
            "/nowhere",
        ):
            assert (await client.get(path)).headers["cache-control"] == "no-store", path
