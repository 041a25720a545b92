"""Who is let in: every route with every scope, and what those are told who are not. Over fakes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from commands.api_keys import create_key, revoke_key
from commands.key_ring import MAX_AGE, KeyRing
from commands.ports import Append
from domain.api_key import SCOPES, KeyScope, allows
from domain.events import Failed, NewEvent, Started
from entrypoints.api.access import ACCESS, needed_for
from tests.api_under_test import DOCUMENT, client_of, make_api
from tests.event_streams import EventSource
from tests.fakes.api_keys import FakeApiKeys
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.until import until

JOB = {"type": "CSV_EXPORT", "payload": 1}


class Bench:
    """The API over keys of each scope. `tokens` are theirs."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.keys = FakeApiKeys()
        self.ring = KeyRing(self.keys, now=lambda: self.time)
        self.log = FakeEventLog()
        self.log.workers.add("w1")
        self.app: Litestar = make_api(self.log, FakeHealthReader(), keys=self.ring)
        self.tokens: dict[str, str] = {}

    async def add(self, scope: KeyScope) -> None:
        self.tokens[scope] = await create_key(f"{scope}-key", scope, by="test", keys=self.keys)
        await self.ring.renew()

    async def revoke(self, scope: KeyScope) -> None:
        await revoke_key(f"{scope}-key", by="test", keys=self.keys)
        await self.ring.renew()

    def bearer(self, scope: KeyScope) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[scope]}"}

    async def failed_job(self, client: httpx.AsyncClient) -> str:
        """The path of a job that failed."""
        created = await client.post("/jobs", json=JOB, headers=self.bearer("submit"))
        path: str = created.headers["location"]
        events = [NewEvent(Started(attempt=1, worker="w1")), NewEvent(Failed(1, "w1", "error"), b'"no"')]
        await self.log.append([Append(path.rpartition("/")[2], 1, events, "w1")])
        return path


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    for scope in SCOPES:
        await bench.add(scope)
    return bench


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(bench.app) as client:
        yield client


def routes(app: Litestar) -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"\{job_id:str\}", "{id}", route.path))
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"  # which the framework answers by itself, with the names of the others
    }


def test_the_table_names_every_route_and_nothing_else(bench: Bench) -> None:
    assert {("GET" if method == "HEAD" else method, path) for method, path in routes(bench.app)} == ACCESS.keys()
    with pytest.raises(LookupError, match=r"\('GET', '/secrets'\) is not in the table"):
        needed_for(["GET", "HEAD"], "/secrets")


async def test_every_route_lets_in_the_scopes_that_the_table_says_and_nobody_else(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    asked = 0
    for method, path in sorted(routes(bench.app)):
        needed = ACCESS["GET" if method == "HEAD" else method, path]
        job = await bench.failed_job(client)
        address = path.replace("/jobs/{id}", job)
        json = {("POST", "/jobs"): JOB, ("POST", "/jobs/batch"): [JOB]}.get((method, path))

        async def ask(
            headers: dict[str, str], method: str = method, address: str = address, json: object = json
        ) -> int:
            return (await client.request(method, address, json=json, headers=headers)).status_code

        events = len(bench.log.events)
        refused = {
            "no key": await ask({}),
            "another scheme": await ask({"authorization": "Basic Zm9vOmJhcg=="}),
            "nothing": await ask({"authorization": "Bearer "}),
            "unknown": await ask({"authorization": "Bearer jl_" + "x" * 43}),
        }
        assert set(refused.values()) == ({401} if needed else {await ask({})}), (method, path, refused)
        for scope in SCOPES:
            if needed is not None and not allows(scope, needed):
                assert await ask(bench.bearer(scope)) == 403, (method, path, scope)
        assert len(bench.log.events) == events  # nothing of what was refused was done
        for scope in SCOPES:
            if needed is None or allows(scope, needed):
                status = await ask(bench.bearer(scope))
                assert status not in (401, 403), (method, path, scope, status)
            asked += 1
    assert asked > 60


def test_the_document_names_the_scope_of_every_operation() -> None:
    said = {
        (method.upper(), path): operation["security"]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }

    assert said == {route: [] if needed is None else [{"apiKey": [needed]}] for route, needed in ACCESS.items()}
    assert DOCUMENT["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


async def test_whoever_sends_no_key_is_told_how(client: httpx.AsyncClient) -> None:
    answer = await client.get("/jobs")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="jobledger"'
    assert answer.json()["type"] == "/schema#key-required"


async def test_a_key_that_is_not_accepted_is_told_from_none(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.revoke("read")

    unknown = await client.get("/jobs", headers={"authorization": "bearer jl_nobody's"})
    revoked = await client.get("/jobs", headers=bench.bearer("read"))
    twice = await client.get(
        "/jobs", headers=[("authorization", f"Bearer {bench.tokens['submit']}"), ("authorization", "Bearer x")]
    )

    challenge = 'Bearer realm="jobledger", error="invalid_token"'
    for answer, detail in (
        (unknown, "nobody has this key"),
        (revoked, "the key read-key was revoked"),
        (twice, "Authorization is given more than once"),
    ):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)
        assert answer.json()["type"] == "/schema#key-not-accepted"
        assert answer.json()["detail"] == detail
        assert "jl_" not in answer.text


async def test_a_scope_that_does_not_suffice_is_told_with_the_one_that_does(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/jobs", json=JOB, headers=bench.bearer("read"))

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="jobledger", error="insufficient_scope", scope="submit"'
    )
    assert answer.json()["type"] == "/schema#scope-insufficient"
    assert answer.json()["detail"] == "the key read-key has the scope read: this takes submit"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(bench: Bench, client: httpx.AsyncClient, scheme: str) -> None:
    answer = await client.get("/jobs", headers={"authorization": f"{scheme}  {bench.tokens['read']} "})
    assert answer.status_code == 200


async def test_the_keys_name_is_the_actor_of_all_that_it_causes(bench: Bench, client: httpx.AsyncClient) -> None:
    failed = await bench.failed_job(client)
    operator = bench.bearer("operate")
    await client.post(f"{failed}/retry", headers=operator)
    await client.post(f"{failed}/cancel", headers=operator)
    batch = await client.post("/jobs/batch", json=[JOB], headers=operator)
    running = batch.json()["items"][0]["jobId"]
    await bench.log.append([Append(running, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")])
    await client.post(f"/jobs/{running}/cancel", headers=operator)

    async def actors(path: str) -> list[tuple[str, str]]:
        history = await client.get(f"{path}/events", headers=bench.bearer("read"))
        return [(event["type"], event["actor"]) for event in history.json()["events"]]

    assert await actors(failed) == [
        ("Created", "submit-key"),
        ("Started", "w1"),
        ("Failed", "w1"),
        ("Queued", "operate-key"),
        ("Cancelled", "operate-key"),
    ]
    assert await actors(f"/jobs/{running}") == [
        ("Created", "operate-key"),
        ("Started", "w1"),
        ("CancelRequested", "operate-key"),
    ]


async def test_idempotency_keys_belong_to_the_actor(bench: Bench, client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/jobs", json=JOB, headers=bench.bearer(scope) | {"idempotency-key": "k"})
        for scope in (SCOPES[1], SCOPES[2], SCOPES[1])
    ]

    first, other, again = (answer.json()["jobId"] for answer in answers)
    assert first != other
    assert again == first


async def test_while_keys_cannot_be_read_nobody_is_let_in_and_the_api_is_not_ready(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.time += MAX_AGE

    answer = await client.get("/jobs", headers=bench.bearer("read"))
    ready = await client.get("/readyz")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert ready.json() == {"status": "not ready", "reasons": ["the API keys cannot be read"]}
    await bench.ring.renew()
    assert (await client.get("/jobs", headers=bench.bearer("read"))).status_code == 200


async def test_an_api_without_keys_is_open_and_says_so_until_the_first_is_made() -> None:
    bench = Bench()
    await bench.ring.renew()
    async with client_of(bench.app) as client:
        created = await client.post("/jobs", json=JOB, headers={"authorization": "Bearer of-another-service"})
        before = (await client.get("/health")).json()["access"]
        await bench.add("read")
        refused = await client.post("/jobs", json=JOB)
        after = (await client.get("/health")).json()["access"]
        await bench.revoke("read")
        still_refused = await client.post("/jobs", json=JOB)

    assert created.status_code == 201
    assert [event.actor for event in bench.log.events] == ["anonymous"]
    assert (before, after) == ("open", "keys")
    assert (refused.status_code, still_refused.status_code) == (401, 401)


@pytest.mark.parametrize("of_one_job", [False, True])
async def test_an_event_stream_ends_when_its_key_is_revoked(
    bench: Bench, client: httpx.AsyncClient, *, of_one_job: bool
) -> None:
    job = await bench.failed_job(client)
    path = f"{job}/events" if of_one_job else "/events?after=0"
    key = bench.bearer("read")["authorization"]
    async with EventSource(bench.app, path, authorization=key) as source:
        await source.until(3)
        await bench.revoke("read")
        await until(lambda: source.is_over, within=5)
