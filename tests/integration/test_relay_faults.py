"""What the writing end of the queue survives, with a real Redis, a real log and a real read side."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import redis

from adapters.redis.connecting import connect
from adapters.redis.names import MOVED, RELAY
from adapters.redis.relay_queue import RedisRelayQueue
from commands.mend_queue import MendQueue
from commands.ports import Unavailable
from commands.queue_ports import ForeignQueue
from commands.relay_events import Relay
from tests.integration.queue_system import System, queue_system, relay_all
from tests.proxy import proxy_to


@pytest.fixture
async def system(postgres_url: str, redis_url: str) -> AsyncIterator[System]:
    async with queue_system(postgres_url, redis_url) as made:
        yield made


async def test_redis_rolled_back_to_an_earlier_moment_is_relayed_again_from_there(system: System) -> None:
    jobs = await system.create(30, "high") + await system.create(30)
    await relay_all(system.relay)
    with redis.Redis.from_url(system.redis_url) as by_hand:
        copy = {key: by_hand.dump(key) for key in by_hand.keys("*")}
        jobs += await system.create(30, "high") + await system.create(30)
        await relay_all(system.relay)

        by_hand.flushall()
        for key, value in copy.items():
            by_hand.restore(key, 0, value)
    await relay_all(system.relay)

    assert sorted(await system.queued()) == sorted(jobs)


async def test_scripts_that_the_server_forgot_are_sent_again(system: System) -> None:
    worker = system.worker("w", "A")
    for _ in range(2):
        await system.redis.script_flush()
        (job,) = await system.create(1)
        await relay_all(system.relay)
        await system.redis.script_flush()
        (entry,) = await worker.read(5, 0)
        await system.redis.script_flush()
        await worker.acknowledge([entry])
        assert entry.job_id == job


async def test_another_database_in_place_of_ours_stops_the_relay(system: System) -> None:
    await system.create(3)
    await relay_all(system.relay)
    with psycopg.connect(system.postgres_url) as connection:
        connection.execute("update log set id = gen_random_uuid()")

    for relay in (system.relay, system.new_relay()):
        with pytest.raises(ForeignQueue):
            await relay.step()
    assert len(await system.queued()) == 3


async def test_a_log_restored_to_an_earlier_moment_loses_no_job(system: System) -> None:
    jobs = await system.create(20)
    await relay_all(system.relay)
    _forget_events_after(system.postgres_url, 10)
    await relay_all(system.relay)
    assert await system.queued() == jobs[:10]

    more = await system.create(15)
    _forget_events_after(system.postgres_url, 12)
    more[2:] = await system.create(13)  # the log is longer than the mark again when the relay comes
    await relay_all(system.relay)

    assert await system.queued() == jobs[:10] + more


async def test_a_log_restored_and_grown_again_to_the_very_event_at_the_mark_is_another_one(system: System) -> None:
    first, lost = await system.create(2)
    await system.start([first])
    await relay_all(system.relay)
    _forget_events_after(system.postgres_url, 1)
    (new,) = await system.create(1)
    await system.start([first])  # at the same position and version as before: its entry was read and is claimed again

    await relay_all(system.relay)

    assert await system.queued() == [first, new]
    assert lost not in await system.queued()


@pytest.mark.parametrize("left", [None, "1 1769509800000"])
async def test_a_mark_that_a_release_left_which_knows_no_times_is_gone_on_from(
    system: System, left: str | None
) -> None:
    await system.create(2)
    await relay_all(system.relay)
    made = await system.redis.hget(RELAY, "made")
    await system.redis.hdel(RELAY, "recorded")
    if left is not None:  # of an earlier position, by a release like this one
        await system.redis.hset(RELAY, "recorded", left)

    await relay_all(system.new_relay())

    assert await system.redis.hget(RELAY, "made") == made


def _forget_events_after(postgres_url: str, position: int) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("alter table events disable trigger user")
        connection.execute("delete from events where position > %s", [position])
        connection.execute("alter table events enable always trigger immutable_rows")
        connection.execute("alter table events enable always trigger immutable_table")


@pytest.mark.parametrize("reply", ["relay", "reset"])
async def test_a_relay_whose_reply_is_lost_repeats_nothing(system: System, reply: str) -> None:
    async with proxy_to(system.redis_url) as proxy:
        client = connect(proxy.url(system.redis_url), name="through the proxy")
        queue = RedisRelayQueue(client)
        relay = system.new_relay(queue=queue)
        if reply == "relay":
            await relay_all(relay)
        jobs = await system.create(40)
        proxy.cut_before_reply(to=getattr(queue, f"_{reply}")._digest.encode())
        with pytest.raises(Unavailable):
            await relay_all(relay)
        await relay_all(relay)
        await client.aclose()

    assert proxy.met == 1
    assert await system.queued() == jobs


async def test_relays_that_run_at_once_while_jobs_come_make_each_entry_once(system: System) -> None:
    relays = [system.new_relay(page=7), system.new_relay(page=13), system.relay]
    done = asyncio.Event()

    async def run(relay: Relay) -> None:
        while not done.is_set():
            await relay.step()
        await relay_all(relay)

    running = [asyncio.create_task(run(relay)) for relay in relays]
    jobs = []
    for _ in range(30):
        jobs += await system.create(random.randint(1, 20), random.choice(("high", "default")))
    done.set()
    await asyncio.gather(*running)

    assert sorted(await system.queued()) == sorted(jobs)


async def test_a_started_job_is_not_added_again_and_a_deleted_entry_is(system: System) -> None:
    jobs = await system.create(5)
    await relay_all(system.relay)
    await system.project()
    await system.start(jobs[:1])  # the read side does not know yet
    await system.redis.xdel("default", "1-0", "3-0")
    mend = MendQueue(queue=RedisRelayQueue(system.redis), feed=system.new_feed(), min_age_seconds=0)

    await mend.step()

    assert await system.queued() == [jobs[1], jobs[3], jobs[4], jobs[2]]
    state = await RedisRelayQueue(system.redis).inspect()
    assert state.is_whole
    assert [stream.last_id for stream in state.streams] == ["0-0", "5-1"]


@pytest.mark.parametrize(
    "nonsense", [{"position": "x"}, {"position": "007"}, {"version": "9" * 30}, {"log": b"\xff"}, {"default": "last"}]
)
async def test_a_hash_that_somebody_scribbled_on_is_made_again(system: System, nonsense: dict[Any, Any]) -> None:
    jobs = await system.create(2)
    await relay_all(system.relay)
    await system.redis.hset(RELAY, mapping=nonsense)

    await relay_all(system.relay)

    assert await system.queued() == jobs
    assert (await RedisRelayQueue(system.redis).inspect()).is_whole


async def test_keys_of_another_kind_in_our_place_are_replaced(system: System) -> None:
    jobs = await system.create(2)
    for key in (RELAY, "default", "high_priority", MOVED):
        await system.redis.set(key, "mine")

    await relay_all(system.relay)

    assert await system.queued() == jobs


@pytest.mark.parametrize("source", ["log", "jobs"])
async def test_thousands_of_queued_jobs_are_back_soon(system: System, source: str) -> None:
    jobs = []
    for _ in range(12):
        jobs += await system.create(1_000)
    if source == "jobs":
        await system.project()
    await relay_all(system.relay)
    await system.redis.flushall()
    relay = system.new_relay()

    began = time.monotonic()
    await relay_all(relay)
    seconds = time.monotonic() - began

    assert await system.queued() == jobs
    assert seconds < 10  # 0.5 s when nothing else runs
