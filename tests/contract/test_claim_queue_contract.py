"""What every ClaimQueue promises: the fake and the real one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from commands.queue_ports import ClaimQueue
from tests.contract.queue_benches import Bench, FakeBench, entry, fill, ids, redis_bench


@pytest.fixture(params=["fake", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
    else:
        async with redis_bench(request.getfixturevalue("redis_url")) as real:
            yield real


async def drained(queue: ClaimQueue, *, count: int = 100) -> list[tuple[str, str]]:
    """All that a worker gets until there is nothing more, acknowledged."""
    found = []
    while entries := await queue.read(count, 0):
        await queue.acknowledge(entries)
        found += ids(entries)
    return found


async def test_an_entry_arrives_as_it_was_relayed(bench: Bench) -> None:
    await fill(bench, entry(7, "high", type="CSV_EXPORT", attempt=3))

    assert await bench.worker("w").read(10, 0) == [entry(7, "high", type="CSV_EXPORT", attempt=3)]


async def test_high_priority_comes_first_and_no_more_is_read_than_asked_for(bench: Bench) -> None:
    await fill(bench, entry(1), entry(2), entry(3, "high"), entry(4), entry(5, "high"))
    worker = bench.worker("w", "A")

    reads = [ids(await worker.read(count, 0)) for count in (1, 2, 0, 5)]

    assert reads == [
        [("high_priority", "3-0")],
        [("high_priority", "5-0"), ("default", "1-0")],
        [],
        [("default", "2-0"), ("default", "4-0")],
    ]


async def test_each_entry_goes_to_one_worker(bench: Bench) -> None:
    await fill(bench, *(entry(position) for position in range(1, 101)))
    one, other = bench.worker("one", "A"), bench.worker("other", "A")

    found = await asyncio.gather(*(drained(worker, count=7) for worker in (one, other)))

    assert sorted(found[0] + found[1]) == sorted(ids([entry(position) for position in range(1, 101)]))


async def test_a_waiting_reader_gets_what_comes(bench: Bench) -> None:
    await fill(bench, entry(1))
    worker = bench.worker("w", "A")
    await worker.acknowledge(await worker.read(1, 0))
    waiting = asyncio.create_task(worker.read(5, 5))
    await asyncio.sleep(0)

    began = time.monotonic()
    await fill(bench, entry(2, "high"))

    assert ids(await waiting) == [("high_priority", "2-0")]
    assert time.monotonic() - began < 4  # it did not sleep until its time was over


async def test_waiting_ends_after_its_time(bench: Bench) -> None:
    await fill(bench, entry(1))
    worker = bench.worker("w")
    await worker.acknowledge(await worker.read(1, 0))

    assert await worker.read(1, 0.05) == []


async def test_acknowledged_entries_are_gone_for_good(bench: Bench) -> None:
    await fill(bench, entry(1), entry(2, "high"), entry(3))
    worker = bench.worker("w")
    entries = await worker.read(3, 0)

    await worker.acknowledge(entries)
    await worker.acknowledge(entries)

    assert await bench.contents() == []
    assert await bench.worker("w").read(3, 0) == []
    assert await bench.worker("other").sweep(10, 0) == []


async def test_a_restarted_worker_gets_first_what_it_had_read_and_not_acknowledged(bench: Bench) -> None:
    await fill(bench, entry(1), entry(2), entry(3))
    before = bench.worker("w")
    await before.acknowledge((await before.read(2, 0))[:1])

    after = bench.worker("w")
    assert ids(await after.read(3, 0)) == [("default", "2-0")]
    assert ids(await after.read(3, 0)) == [("default", "3-0")]


async def test_a_sweep_takes_over_what_another_worker_left(bench: Bench) -> None:
    await fill(bench, *(entry(position, "high" if position % 2 else "default") for position in range(1, 301)))
    await bench.worker("dead", "A").read(300, 0)
    living = bench.worker("living", "A")

    assert await living.sweep(1_000, 60) == []  # not idle for long enough
    swept = await living.sweep(250, 0)
    rest = await living.sweep(1_000, 0)
    await living.acknowledge([*swept, *rest])

    assert len(swept) == 250
    assert len({*ids(swept), *ids(rest)}) == 300
    assert await bench.contents() == []


async def test_what_a_worker_read_and_could_not_claim_comes_again_with_its_own_sweep(bench: Bench) -> None:
    await fill(bench, entry(1), entry(2))
    worker = bench.worker("w")
    first, second = await worker.read(2, 0)
    await worker.acknowledge([second])

    assert await worker.sweep(10, 60) == []
    assert await worker.sweep(10, 0) == [first]


async def test_a_parked_entry_waits_for_a_worker_that_knows_its_type(bench: Bench) -> None:
    await fill(bench, entry(1, type="NEW"), entry(2, type="OLD"))
    old = bench.worker("old", "OLD")
    entries = await old.read(2, 0)
    await old.park([found for found in entries if found.type == "NEW"])
    await old.park([found for found in entries if found.type == "NEW"])
    await old.acknowledge([found for found in entries if found.type == "OLD"])

    assert await bench.contents() == []
    assert await old.read(5, 0) == []
    (parked,) = await bench.worker("new", "NEW").read(5, 0)
    assert (parked.job_id, parked.version, parked.type, parked.attempt) == (entry(1).job_id, 1, "NEW", 1)


async def test_two_workers_that_park_the_same_entry_park_it_once(bench: Bench) -> None:
    await fill(bench, entry(1, type="NEW"))
    one, other = bench.worker("one"), bench.worker("other")
    first = await one.read(1, 0)
    swept = await other.sweep(1, 0)

    await asyncio.gather(one.park(first), other.park(swept))

    assert len(await drained(bench.worker("new", "NEW"))) == 1


async def test_a_reader_waits_for_parked_entries_too(bench: Bench) -> None:
    await fill(bench, entry(1, type="NEW"))
    old = bench.worker("old")
    unknown = await old.read(1, 0)
    waiting = asyncio.create_task(bench.worker("new", "NEW").read(1, 5))
    await asyncio.sleep(0)

    await old.park(unknown)

    assert [found.type for found in await waiting] == ["NEW"]


async def test_a_parked_entry_that_its_worker_left_is_swept(bench: Bench) -> None:
    await fill(bench, entry(1, type="NEW"))
    old = bench.worker("old")
    await old.park(await old.read(1, 0))
    await bench.worker("dead", "NEW").read(1, 0)
    living = bench.worker("living", "NEW")

    swept = await living.sweep(10, 0)
    await living.acknowledge(swept)

    assert [found.type for found in swept] == ["NEW"]
    assert await drained(bench.worker("third", "NEW")) == []
    assert await bench.worker("third", "NEW").sweep(10, 0) == []


async def test_without_a_queue_reading_pauses_and_finds_nothing(bench: Bench) -> None:
    worker = bench.worker("w", "A")
    began = time.monotonic()

    assert await worker.read(5, 0.2) == []
    assert time.monotonic() - began > 0.1  # a loop around it is not hot
    assert await worker.sweep(5, 0) == []
    await worker.acknowledge([entry(1)])


async def test_a_reader_goes_on_when_the_queue_was_made_again(bench: Bench) -> None:
    await fill(bench, entry(1))
    worker = bench.worker("w", "A")
    held = await worker.read(1, 0)
    await bench.flush()
    await worker.read(1, 0.01)

    await fill(bench, entry(1), entry(2))

    assert ids(await worker.read(5, 1)) == [("default", "1-0"), ("default", "2-0")]
    await worker.acknowledge(held)
    assert ids(await bench.contents()) == [("default", "2-0")]


async def test_a_read_may_be_cancelled_and_loses_nothing(bench: Bench) -> None:
    await fill(bench, entry(1000))
    worker = bench.worker("w", "A")
    await worker.acknowledge(await worker.read(1, 0))
    found = []
    for position in range(1001, 1031):
        reading = asyncio.create_task(worker.read(5, 5))
        await asyncio.sleep(0.0004 * (position % 7))
        adding = asyncio.create_task(fill(bench, entry(position)))
        await asyncio.sleep(0.0003 * (position % 5))
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            found += ids(await reading)
        await adding

    found += await drained(worker)
    found += ids(await bench.worker("other", "A").sweep(100, 0)) if len(set(found)) < 30 else []

    assert set(found) == set(ids([entry(position) for position in range(1001, 1031)]))
