"""Group commit: what arrives while a batch is on its way forms the next, in order; everybody gets his own answers."""

from __future__ import annotations

import asyncio

import pytest

from adapters.group_commit import GroupCommit
from commands.ports import Unavailable


class Sender:
    """Answers each item with itself times ten, when it is let; keeps what each batch held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.in_flight = 0

    async def send(self, items: list[int]) -> list[int]:
        self.in_flight += 1
        assert self.in_flight == 1, "two batches at once"
        self.batches.append(items)
        try:
            await self.open.wait()
            if self.error is not None:
                raise self.error
            return [item * 10 for item in items]
        finally:
            self.in_flight -= 1


@pytest.fixture
def sender() -> Sender:
    return Sender()


async def begun(tasks: int = 3) -> None:
    """Let every task that can run do so."""
    for _ in range(tasks):
        await asyncio.sleep(0)


async def test_a_caller_alone_is_sent_at_once_and_gets_his_answers(sender: Sender) -> None:
    group = GroupCommit(sender.send)
    assert await group.submit([1, 2], size=2) == [10, 20]
    assert await group.submit([], size=0) == []
    assert await group.submit([3], size=1) == [30]


async def test_what_arrives_meanwhile_forms_the_next_batch_in_order(sender: Sender) -> None:
    group = GroupCommit(sender.send)
    sender.open.clear()
    first = asyncio.create_task(group.submit([1], size=1))
    await begun()
    later = [asyncio.create_task(group.submit([n, n + 100], size=2)) for n in range(2, 7)]
    await begun()
    sender.open.set()
    assert await first == [10]
    assert await asyncio.gather(*later) == [[n * 10, n * 10 + 1000] for n in range(2, 7)]
    assert sender.batches == [[1], [2, 102, 3, 103, 4, 104, 5, 105, 6, 106]]


async def test_a_batch_ends_before_it_holds_too_many_items_or_bytes(sender: Sender) -> None:
    group = GroupCommit(sender.send, batch_items=3, batch_bytes=100)
    sender.open.clear()
    sizes = [1, 1, 1, 1, 60, 60, 1, 500, 1]
    tasks = [asyncio.create_task(group.submit([n], size=size)) for n, size in enumerate(sizes)]
    large = asyncio.create_task(group.submit(list(range(20, 27)), size=7))
    await begun()
    sender.open.set()
    await asyncio.gather(*tasks, large)
    # Item 0 may go alone or with its neighbours; what counts is that no bound is passed but by one submission alone.
    for batch in sender.batches:
        assert len(batch) <= 3 or batch == list(range(20, 27))
        size = sum(sizes[n] for n in batch if n < 20)
        assert size <= 100 or len(batch) == 1
    assert [n for batch in sender.batches for n in batch] == [*range(9), *range(20, 27)]


async def test_a_queue_that_is_full_refuses_the_next_caller_and_takes_the_one_after(sender: Sender) -> None:
    group = GroupCommit(sender.send, queue_items=3, queue_bytes=1000)
    sender.open.clear()
    tasks = [asyncio.create_task(group.submit([0], size=1))]
    await begun()  # on its way: it waits no longer
    tasks += [asyncio.create_task(group.submit([n], size=1)) for n in (1, 2, 3)]
    await begun()
    with pytest.raises(Unavailable) as refused:
        await group.submit([4], size=1)
    assert refused.value.retry_after > 0
    sender.open.set()
    assert await asyncio.gather(*tasks) == [[0], [10], [20], [30]]
    assert await group.submit([5], size=1) == [50]


async def test_a_queue_is_full_by_bytes_too(sender: Sender) -> None:
    group = GroupCommit(sender.send, queue_bytes=10)
    sender.open.clear()
    tasks = [asyncio.create_task(group.submit([0], size=1))]
    await begun()
    tasks.append(asyncio.create_task(group.submit([1], size=8)))
    await begun()
    with pytest.raises(Unavailable):
        await group.submit([2], size=3)
    tasks.append(asyncio.create_task(group.submit([3], size=2)))
    await begun()
    sender.open.set()
    assert await asyncio.gather(*tasks) == [[0], [10], [30]]


async def test_one_submission_larger_than_the_queue_is_taken_when_nothing_waits(sender: Sender) -> None:
    group = GroupCommit(sender.send, queue_items=2, queue_bytes=10)
    assert await group.submit([1, 2, 3], size=50) == [10, 20, 30]


async def test_a_caller_who_gives_up_takes_nothing_back_and_nobody_with_him(sender: Sender) -> None:
    group = GroupCommit(sender.send)
    sender.open.clear()
    in_flight = asyncio.create_task(group.submit([1], size=1))
    await begun()
    waiting = asyncio.create_task(group.submit([2], size=1))
    staying = asyncio.create_task(group.submit([3], size=1))
    await begun()
    in_flight.cancel()
    waiting.cancel()
    await begun()
    assert in_flight.cancelled()
    assert waiting.cancelled()
    sender.open.set()
    assert await staying == [30]
    assert sender.batches == [[1], [2, 3]]  # sent all the same


async def test_an_error_reaches_all_of_its_batch_and_nobody_else(sender: Sender) -> None:
    group = GroupCommit(sender.send, batch_items=2)
    sender.open.clear()
    sender.error = Unavailable("away")
    first = asyncio.create_task(group.submit([1], size=1))
    await begun()
    failing = [first, *(asyncio.create_task(group.submit([n], size=1)) for n in (2, 3))]
    await begun()
    sender.open.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert results == [sender.error] * 3
    sender.error = None
    assert await group.submit([4], size=1) == [40]


async def test_draining_waits_for_everything_that_was_submitted(sender: Sender) -> None:
    group = GroupCommit(sender.send, batch_items=1)
    await group.drain()  # of nothing: at once
    sender.open.clear()
    tasks = [asyncio.create_task(group.submit([n], size=1)) for n in range(3)]
    await begun()
    draining = asyncio.create_task(group.drain())
    await begun()
    assert not draining.done()
    sender.open.set()
    await draining
    await begun()
    assert [task.result() for task in tasks] == [[0], [10], [20]]


async def test_a_thousand_callers_get_each_his_own_answer(sender: Sender) -> None:
    group = GroupCommit(sender.send, batch_items=64)
    answers = await asyncio.gather(*(group.submit([n] * (n % 3), size=1) for n in range(1000)))
    assert answers == [[n * 10] * (n % 3) for n in range(1000)]
    assert len(sender.batches) < 100
