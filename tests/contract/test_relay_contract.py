"""What every RelayQueue promises, and what the relay makes of it: over the fake and over the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from commands.mend_queue import MendQueue
from commands.ports import LogDamaged
from commands.queue_ports import BEGINNING, ForeignQueue, Mark
from commands.relay_events import Relay
from domain.errors import UnknownEventType
from domain.events import Cancelled, Completed, Created, Priority, Queued, Started
from tests.contract.queue_benches import LOG, Bench, FakeBench, entry, fill, ids, redis_bench
from tests.fakes.queue_feed import FakeQueueFeed


@pytest.fixture(params=["fake", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
    else:
        async with redis_bench(request.getfixturevalue("redis_url")) as real:
            yield real


@pytest.fixture
def feed() -> FakeQueueFeed:
    return FakeQueueFeed(LOG)


def created(priority: Priority = "default", *, delay: float | None = None, type: str = "A") -> Created:
    return Created(type=type, priority=priority, attempt=1, used=0, max_attempts=3, delay=delay)


def job(number: int) -> str:
    return entry(number).job_id


async def relay_all(relay: Relay) -> None:
    for _ in range(100):
        if not await relay.step():
            return
    raise AssertionError("the relay never comes to an end")


# The port ------------------------------------------------------------------------------------------------------------


async def test_a_queue_that_is_not_as_believed_is_not_written_to(bench: Bench) -> None:
    await fill(bench, entry(1))
    before = await bench.relay_queue.inspect()
    await fill(bench, entry(2))

    found = await bench.relay_queue.relay(before, Mark(3, job(3), 1), [entry(3)])

    assert found == await bench.relay_queue.inspect()
    assert found is not None
    assert found.mark.position == 2
    assert ids(await bench.contents()) == [("default", "1-0"), ("default", "2-0")]


async def test_entries_and_mark_move_together_and_the_state_after_is_foretold(bench: Bench) -> None:
    await fill(bench, entry(1, "high"))
    before = await bench.relay_queue.inspect()
    entries = [entry(2), entry(3, "high"), entry(5)]

    assert await bench.relay_queue.relay(before, Mark(6, job(6), 4), entries) is None

    assert await bench.relay_queue.inspect() == before.after(Mark(6, job(6), 4), entries)
    assert sorted(ids(await bench.contents())) == sorted(ids([entry(1, "high"), *entries]))


async def test_a_page_without_entries_moves_the_mark_or_just_compares(bench: Bench) -> None:
    await fill(bench, entry(1))
    state = await bench.relay_queue.inspect()

    assert await bench.relay_queue.relay(state, state.mark, []) is None
    assert await bench.relay_queue.inspect() == state
    assert await bench.relay_queue.relay(state, Mark(2, job(1), 2), []) is None
    state = await bench.relay_queue.inspect()
    assert state.mark == Mark(2, job(1), 2)
    assert await bench.relay_queue.relay(state, Mark(3, job(1), 3, 1_769_509_800_000), []) is None
    assert (await bench.relay_queue.inspect()).mark == Mark(3, job(1), 3, 1_769_509_800_000)


async def test_of_two_resets_one_is_done(bench: Bench) -> None:
    found = await bench.relay_queue.inspect()
    assert not found.is_whole
    one = await bench.relay_queue.reset(found, log_id=LOG)
    assert one.is_whole
    assert await bench.relay_queue.relay(one, Mark(1, job(1), 1), [entry(1)]) is None

    other = await bench.relay_queue.reset(found, log_id=LOG)

    assert other.mark.position == 1
    assert ids(await bench.contents()) == [("default", "1-0")]


# The relay -----------------------------------------------------------------------------------------------------------


async def test_each_queueing_event_becomes_one_entry_and_no_other_event_does(bench: Bench, feed: FakeQueueFeed) -> None:
    feed.append(job(1), created("high", type="X"))
    feed.append(job(2), created(delay=5))
    feed.append(job(1), Started(attempt=1, worker="w"))
    feed.append(job(2), Queued(type="A", priority="default", attempt=1, used=0, max_attempts=3))
    feed.append(job(1), Completed(attempt=1, worker="w"))
    relay = Relay(queue=bench.relay_queue, feed=feed)

    await relay_all(relay)
    await relay_all(relay)

    high, default = await bench.contents()
    assert (high.stream, high.entry_id, high.job_id, high.version) == ("high_priority", "1-0", job(1), 1)
    assert (high.type, high.attempt) == ("X", 1)
    assert (default.stream, default.entry_id, default.job_id, default.version) == ("default", "4-0", job(2), 2)
    assert relay.relayed_position == 5


async def test_the_relay_goes_page_by_page(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 26):
        feed.append(job(number), created())
    relay = Relay(queue=bench.relay_queue, feed=feed, page=10)

    steps = [await relay.step() for _ in range(4)]

    assert steps == [True, True, True, False]  # the first makes the queue
    assert len(await bench.contents()) == 25


async def test_an_empty_log_makes_an_empty_queue(bench: Bench, feed: FakeQueueFeed) -> None:
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)

    state = await bench.relay_queue.inspect()

    assert state.is_whole
    assert state.mark == BEGINNING


@pytest.mark.parametrize("harm", ["flush", "delete high", "delete default", "destroy group", "foreign entry"])
async def test_an_idle_step_notices_harm_and_everything_is_there_again(
    bench: Bench, feed: FakeQueueFeed, harm: str
) -> None:
    feed.append(job(1), created("high"))
    feed.append(job(2), created())
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)
    worker = bench.worker("w", "A")
    await worker.read(1, 0)  # one is pending
    match harm:
        case "flush":
            await bench.flush()
        case "delete high":
            await bench.delete_stream("high_priority")
        case "delete default":
            await bench.delete_stream("default")
        case "destroy group":
            await bench.destroy_group("default")
        case _:
            await bench.add_foreign("default")

    await relay_all(relay)

    assert ids(await bench.contents()) == [("high_priority", "1-0"), ("default", "2-0")]
    assert len(await bench.worker("other", "A").read(5, 0)) == 2
    feed.append(job(3), created())
    await relay_all(relay)
    assert ("default", "3-0") in ids(await bench.contents())


async def test_somebody_who_goes_on_writing_to_the_queue_makes_no_hot_loop(bench: Bench, feed: FakeQueueFeed) -> None:
    feed.append(job(1), created())
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)

    wants_more = []
    for _ in range(12):
        await bench.add_foreign("default")
        wants_more.append(await relay.step())

    assert wants_more.count(False) >= 4, wants_more  # each False is a pause of whoever calls
    for _ in range(3):
        await relay_all(relay)
    assert ids(await bench.contents()) == [("default", "1-0")]


async def test_the_queue_of_another_log_is_left_alone(bench: Bench, feed: FakeQueueFeed) -> None:
    await fill(bench, entry(1))
    relay = Relay(queue=bench.relay_queue, feed=FakeQueueFeed("0190f5fe-0000-4000-8000-00000000000b"))

    for _ in range(2):
        with pytest.raises(ForeignQueue, match="0190f5fe-0000-4000-8000-00000000000a"):
            await relay.step()

    assert ids(await bench.contents()) == [("default", "1-0")]


async def test_a_log_restored_to_an_earlier_moment_makes_the_queue_again(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 6):
        feed.append(job(number), created())
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)

    feed.restore(3)
    await relay_all(relay)

    assert ids(await bench.contents()) == ids([entry(1), entry(2), entry(3)])


async def test_another_event_at_the_mark_makes_the_queue_again(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 6):
        feed.append(job(number), created())
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)

    feed.restore(3)
    for number in (14, 15, 16):
        feed.append(job(number), created())
    await relay_all(relay)

    assert [found.job_id for found in await bench.contents()] == [job(number) for number in (1, 2, 3, 14, 15, 16)]


async def test_two_relays_in_turn_make_each_entry_once(bench: Bench, feed: FakeQueueFeed) -> None:
    relays = [Relay(queue=bench.relay_queue, feed=feed, page=3) for _ in range(2)]
    for number in range(1, 41):
        feed.append(job(number), created("high" if number % 3 else "default"))
        await relays[number % 2].step()
        if number % 5 == 0:
            await relays[0].step()

    for relay in relays:
        await relay_all(relay)

    found = [int(entry_id.partition("-")[0]) for _, entry_id in ids(await bench.contents())]
    assert sorted(found) == list(range(1, 41))


async def test_an_event_of_an_unknown_type_stops_the_relay_behind_what_comes_before(
    bench: Bench, feed: FakeQueueFeed
) -> None:
    feed.append(job(1), created())
    feed.append(job(2), created())
    feed.append(job(3), created())
    feed.events[1] = type(feed.events[1])(2, job(2), 1, "Paused", None)
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay.step()
    await relay.step()

    for _ in range(2):
        with pytest.raises(UnknownEventType, match="'Paused' at position 2"):
            await relay.step()

    assert ids(await bench.contents()) == [("default", "1-0")]


async def test_a_gap_in_the_log_stops_the_relay(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 5):
        feed.append(job(number), created())
    del feed.events[2]
    relay = Relay(queue=bench.relay_queue, feed=feed)
    await relay.step()
    await relay.step()

    with pytest.raises(LogDamaged, match="gap at position 3"):
        await relay.step()

    assert ids(await bench.contents()) == [("default", "1-0"), ("default", "2-0")]


async def test_far_behind_only_queued_jobs_are_relayed_and_then_the_log(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 41):
        feed.append(job(number), created())
        if number % 2:
            feed.append(job(number), Cancelled())
    feed.checkpoint = len(feed.events)
    late = [feed.append(job(number), created("high")) for number in range(41, 46)]
    relay = Relay(queue=bench.relay_queue, feed=feed, page=7, far_behind=10)

    await relay_all(relay)

    found = await bench.contents()
    assert [f"{position}-0" for position in late] == [f.entry_id for f in found if f.stream == "high_priority"]
    # Cancelled ones are not relayed again, but for those that lie near the checkpoint, where the log is read.
    queued = {job(number) for number in range(2, 41, 2)}
    assert queued <= {f.job_id for f in found if f.stream == "default"}
    assert len(found) <= len(queued) + len(late) + 5
    assert (await bench.relay_queue.inspect()).mark.position == late[-1]


async def test_a_relay_that_ends_half_way_is_taken_up_by_the_next(bench: Bench, feed: FakeQueueFeed) -> None:
    for number in range(1, 41):
        feed.append(job(number), created())
    for _ in range(100):  # one step each: as if killed between any two
        relay = Relay(queue=bench.relay_queue, feed=feed, page=7, far_behind=10)
        if not await relay.step():
            break

    assert ids(await bench.contents()) == ids([entry(number) for number in range(1, 41)])


# Mending -------------------------------------------------------------------------------------------------------------


async def test_a_deleted_entry_is_added_again_once_and_its_place_is_kept_in_mind(
    bench: Bench, feed: FakeQueueFeed
) -> None:
    for number in range(1, 6):
        feed.append(job(number), created())
    relay, mend = Relay(queue=bench.relay_queue, feed=feed), MendQueue(queue=bench.relay_queue, feed=feed, page=2)
    await relay_all(relay)
    await bench.delete_entry("default", "2-0")
    await bench.delete_entry("default", "4-0")

    for _ in range(10):
        await mend.step()

    assert ids(await bench.contents()) == [*ids([entry(1), entry(3), entry(5)]), ("default", "5-1"), ("default", "5-2")]
    feed.append(job(6), created())
    await relay_all(relay)
    assert ids(await bench.contents())[-1] == ("default", "6-0")  # the relay saw no harm
    worker = bench.worker("w", "A")
    entries = await worker.read(10, 0)
    assert sorted(found.job_id for found in entries) == [job(number) for number in range(1, 7)]
    await worker.acknowledge(entries)
    assert await bench.contents() == []


async def test_an_entry_added_again_and_lost_again_is_added_again(bench: Bench, feed: FakeQueueFeed) -> None:
    feed.append(job(1), created())
    relay, mend = Relay(queue=bench.relay_queue, feed=feed), MendQueue(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)
    await bench.delete_entry("default", "1-0")
    await mend.step()
    await bench.delete_entry("default", "1-1")

    await mend.step()

    assert ids(await bench.contents()) == [("default", "1-2")]


async def test_what_is_pending_or_parked_is_not_missing(bench: Bench, feed: FakeQueueFeed) -> None:
    feed.append(job(1), created())
    feed.append(job(2), created(type="NEW"))
    relay, mend = Relay(queue=bench.relay_queue, feed=feed), MendQueue(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)
    worker = bench.worker("w", "A")
    pending, unknown = await worker.read(2, 0)
    await worker.park([unknown])

    await mend.step()

    assert await bench.contents() == [pending]
    parked = await bench.worker("new", "NEW").read(5, 0)
    assert [found.job_id for found in parked] == [job(2)]


async def test_a_job_that_was_started_is_not_missing_however_far_the_read_side_lags(
    bench: Bench, feed: FakeQueueFeed
) -> None:
    feed.append(job(1), created())
    relay, mend = Relay(queue=bench.relay_queue, feed=feed), MendQueue(queue=bench.relay_queue, feed=feed)
    await relay_all(relay)
    feed.checkpoint = 1
    feed.append(job(1), Started(attempt=1, worker="w"))
    worker = bench.worker("w", "A")
    await worker.acknowledge(await worker.read(1, 0))

    await mend.step()

    assert await bench.contents() == []


async def test_nothing_is_mended_in_a_queue_that_the_relay_must_make_again(bench: Bench, feed: FakeQueueFeed) -> None:
    feed.append(job(1), created())
    await relay_all(Relay(queue=bench.relay_queue, feed=feed))
    await bench.destroy_group("default")
    await bench.delete_entry("default", "1-0")

    await MendQueue(queue=bench.relay_queue, feed=feed).step()

    assert await bench.contents() == []
