"""Job types that take batches: one call for many jobs, and each job its own end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

import jobledger
from adapters.job_types.code import UnusableJobType, prepare
from commands.liveness import HeartbeatAnswer
from commands.ports import Append
from domain.events import CancelRequested, NewEvent
from domain.job_type import JobType
from tests.unit.test_worker import World
from tests.until import until


class Amount(msgspec.Struct):
    amount: int


class Calls:
    """A job type and what it was called with; `answer` makes of the payloads what the code returns."""

    def __init__(self, *, batch: int = 1_000, plain: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.answer: Any = lambda payloads: [payload.amount * 2 for payload in payloads]

        def run(payloads: list[Amount], contexts: list[jobledger.Context]) -> Any:
            assert [context.attempt for context in contexts] == [1] * len(payloads)
            self.calls.append([payload.amount for payload in payloads])
            return self.answer(payloads)

        async def run_async(payloads: list[Amount], contexts: list[jobledger.Context]) -> Any:
            return run(payloads, contexts)

        make = jobledger.job_type("SUM", payload=Amount, batch=batch, max_attempts=1)
        self.job_type: JobType = make(run if plain else run_async)


async def _ended(world: World, payloads: list[bytes]) -> list[str]:
    """Post them, let the worker run until all have ended, and answer with their last events."""
    jobs = [await world.post("SUM", payload=payload) for payload in payloads]
    async with world.at_work():
        await until(lambda: all(world.types_of(job)[-1] in ("Completed", "Failed", "Attempted") for job in jobs))
    return [world.types_of(job)[-1] for job in jobs]


def _results(world: World) -> list[bytes | None]:
    return [recorded.content for recorded in world.log.events if recorded.content and recorded.version == 3]


@pytest.mark.parametrize("plain", [False, True])
async def test_one_call_serves_what_was_claimed_together_and_each_job_has_its_result(plain: bool) -> None:
    sums = Calls(plain=plain)
    world = World(sums.job_type, slots=10)
    assert await _ended(world, [b'{"amount":%d}' % number for number in range(5)]) == ["Completed"] * 5
    assert sums.calls == [[0, 1, 2, 3, 4]]
    assert _results(world) == [b"0", b"2", b"4", b"6", b"8"]
    assert world.worker.running.free == 10


async def test_a_call_is_no_larger_than_the_type_takes() -> None:
    sums = Calls(batch=2)
    world = World(sums.job_type, slots=10)
    assert await _ended(world, [b'{"amount":%d}' % number for number in range(5)]) == ["Completed"] * 5
    assert sums.calls == [[0, 1], [2, 3], [4]]


async def test_an_exception_in_the_place_of_a_result_is_that_jobs_alone() -> None:
    sums = Calls()
    sums.answer = lambda payloads: [7, ValueError("boom"), jobledger.PermanentError("never")]
    world = World(sums.job_type)
    assert await _ended(world, [b'{"amount":1}'] * 3) == ["Completed", "Attempted", "Failed"]
    assert _results(world) == [b"7", b'"ValueError: boom"', b'"PermanentError: never"']


async def test_a_payload_that_does_not_fit_keeps_its_job_out_of_the_call() -> None:
    sums = Calls()
    world = World(sums.job_type)
    assert await _ended(world, [b'{"amount":1}', b'{"amount":"x"}']) == ["Completed", "Attempted"]
    assert sums.calls == [[1]]
    world = World(sums.job_type)
    assert await _ended(world, [b"1", b"2"]) == ["Attempted"] * 2
    assert sums.calls == [[1]]


async def test_what_the_call_raises_is_the_error_of_each() -> None:
    sums = Calls()
    sums.answer = lambda payloads: 1 // 0
    world = World(sums.job_type)
    assert await _ended(world, [b'{"amount":1}'] * 2) == ["Attempted"] * 2
    assert len(set(_results(world))) == 1
    assert b"ZeroDivisionError" in (_results(world)[0] or b"")


@pytest.mark.parametrize(
    ("answer", "said"), [([1], b"returned 1 answers for 2 jobs"), (None, b"returned a NoneType for 2 jobs")]
)
async def test_answers_that_belong_to_no_job_fail_all_for_good(answer: Any, said: bytes) -> None:
    sums = Calls()
    sums.answer = lambda payloads: answer
    world = World(sums.job_type)
    assert await _ended(world, [b'{"amount":1}'] * 2) == ["Failed"] * 2
    assert all(said in (error or b"") for error in _results(world))


class Slow:
    """An async type whose call waits until one of its attempts is told to stop, and then a little for the others."""

    def __init__(self) -> None:
        self.contexts: list[jobledger.Context] = []
        self.cancelled = False

        @jobledger.job_type("SUM", batch=10)
        async def run(payloads: list[Any], contexts: list[jobledger.Context]) -> list[Any]:
            self.contexts = contexts
            try:
                await until(lambda: any(context.should_stop for context in contexts))
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            return [RuntimeError("stopped") if context.should_stop else "done" for context in contexts]

        self.job_type = run


async def test_a_job_that_is_cancelled_is_told_and_the_others_of_its_call_go_on() -> None:
    slow = Slow()
    world = World(slow.job_type)
    jobs = [await world.post("SUM") for _ in range(3)]
    async with world.at_work():
        await until(lambda: len(slow.contexts) == 3)
        [_] = await world.log.append([_cancel(jobs[1])])
        world.worker.hear(HeartbeatAnswer(alive=True, cancelled=[jobs[1]], closed=[], strays=[]))
        await world.until_state(jobs[1], "Cancelled")
        await world.until_state(jobs[2], "Completed")
    assert world.types_of(jobs[0])[-1] == "Completed"
    assert not slow.cancelled


async def test_a_call_whose_every_job_is_to_stop_is_cancelled_and_its_attempts_are_given_back() -> None:
    slow = Slow()
    world = World(slow.job_type)
    jobs = [await world.post("SUM") for _ in range(2)]
    async with world.at_work(grace=0.1):
        await until(lambda: len(slow.contexts) == 2)
    assert slow.cancelled
    assert [world.types_of(job)[-2:] for job in jobs] == [["Attempted", "Queued"]] * 2


async def test_a_plain_call_asks_whether_it_should_stop_and_keeps_its_slots_until_it_ends() -> None:
    begun, may_end = threading.Event(), threading.Event()

    @jobledger.job_type("SUM", batch=10, timeout=0.05)
    def run(payloads: list[Any], contexts: list[jobledger.Context]) -> list[Any]:
        begun.set()
        may_end.wait(20)
        return [RuntimeError("late") if context.should_stop else 1 for context in contexts]

    world = World(run)
    jobs = [await world.post("SUM") for _ in range(2)]
    async with world.at_work():
        await until(begun.is_set)
        await until(lambda: all(each.stopped_for == "timeout" for each in world.worker.running._running.values()))
        assert world.worker.running.free == 2
        may_end.set()
        for job in jobs:
            await world.until_state(job, "Attempted")


def _cancel(job_id: str) -> Append:
    return Append(job_id, 2, [NewEvent(CancelRequested())], "somebody")


def test_a_batch_type_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="batch is 0"):
        jobledger.job_type("X", batch=0)(lambda payloads, contexts: [])
    with pytest.raises(ValueError, match="takes no batches"):
        jobledger.job_type("X", batch=2, runs_in="process")(lambda payloads, contexts: [])
    with pytest.raises(UnusableJobType, match="takes batches, but a process of its own runs one job"):
        prepare(JobType(name="X", run=lambda payloads, contexts: [], runs_in="process", batch=2))
