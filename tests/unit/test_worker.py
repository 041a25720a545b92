"""The worker over a log and a queue in memory: what it claims, runs, stops, closes, and leaves alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

import jobledger
from adapters.job_types.runner import JobTypeRunner
from commands.liveness import HeartbeatAnswer
from commands.outages import Outages
from commands.ports import Answer, Append, Appended, QueueEntry
from commands.queue_ports import STREAMS, Mark
from commands.worker import Worker
from domain.events import Cancelled, CancelRequested, NewEvent, Started, type_name
from domain.job import create
from domain.job_type import JobType
from domain.retry import RetryPolicy
from tests.fakes.event_log import FakeEventLog
from tests.fakes.queue import FakeClaimQueue, FakeQueueServer, FakeRelayQueue
from tests.fakes.report import FakeReport
from tests.until import until


class World:
    """A worker named w1 with its surroundings."""

    def __init__(self, *types: JobType, slots: int = 4, timeout: float = 30.0) -> None:
        self.log = FakeEventLog()
        self.log.workers.add("w1")
        self.server = FakeQueueServer()
        self.relay = FakeRelayQueue(self.server)
        self.reports = FakeReport()
        self.threads = ThreadPoolExecutor(slots)
        self.types: Mapping[str, JobType] = {job_type.name: job_type for job_type in types}
        runner = JobTypeRunner(
            self.types, threads=self.threads, settings={}, result_max_bytes=1_000_000, kill_after=1.0
        )
        self.worker = Worker(
            "w1",
            queue_of=lambda name: FakeClaimQueue(self.server, worker_id=name, job_types=list(self.types)),
            log=self.log,
            jobs=self.log,
            job_types=self.types,
            runner=runner,
            slots=slots,
            default_timeout=timeout,
            policy=RetryPolicy(),
            report=self.reports,
            outages=Outages(report=self.reports),
            pause_after=lambda failures: 0.02,
        )

    async def post(self, job_type: str, *, priority: str = "default", payload: bytes = b"null") -> str:
        """Create a job and relay it to the queue."""
        number = len(self.log.events) + 1
        job_id = f"00000000-0000-7000-8000-{number:012}"
        assert priority in ("high", "default")
        events = create(type=job_type, priority=priority, payload=payload, max_attempts=3)  # type: ignore[arg-type]
        await self.log.append([Append(job_id, 0, events, "anonymous")])
        state = await self.relay.inspect()
        if state.log_id is None:
            state = await self.relay.reset(state, log_id="log")
        entry = QueueEntry(STREAMS[priority], f"{number}-0", job_id, 1, job_type, 1)  # type: ignore[index]
        assert await self.relay.relay(state, Mark(number, job_id, 1), [entry]) is None
        return job_id

    @asynccontextmanager
    async def at_work(self, *, grace: float = 20.0) -> AsyncIterator[None]:
        working = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop()
            await working
            await self.worker.finish(grace=grace)
            self.threads.shutdown(wait=False)

    def types_of(self, job_id: str) -> list[str]:
        return [type_name(event.event) for event in self.log.events if event.job_id == job_id]

    async def until_state(self, job_id: str, state: str) -> None:
        await until(
            lambda: self.types_of(job_id)[-1] == state, saw=lambda: (self.types_of(job_id), self.reports.events)
        )

    def left_in_queue(self) -> int:
        return sum(len(stream.entries) for stream in self.server.streams.values())


@jobledger.job_type("NOOP")
async def noop(payload: Any, context: jobledger.Context) -> Any:
    return payload


@jobledger.job_type("FOREVER")
async def forever(payload: Any, context: jobledger.Context) -> None:
    await asyncio.Event().wait()


@jobledger.job_type("BRIEF", timeout=0.05)
async def brief(payload: Any, context: jobledger.Context) -> None:
    await asyncio.Event().wait()


async def test_a_job_is_claimed_run_closed_and_taken_out_of_the_queue() -> None:
    world = World(noop)
    job_id = await world.post("NOOP", payload=b'{"a":[1,2]}')
    async with world.at_work():
        await world.until_state(job_id, "Completed")
        await until(lambda: world.left_in_queue() == 0)
    assert world.types_of(job_id) == ["Created", "Started", "Completed"]
    assert world.log.events[-1].content == b'{"a":[1,2]}'
    assert world.log.events[-1].actor == "w1"


async def test_an_attempt_that_breaks_off_is_closed_like_any_error_and_gives_its_slot_back() -> None:
    @jobledger.job_type("CLOSES_ITSELF")
    async def closes_itself(payload: Any, context: jobledger.Context) -> None:
        async def gone() -> None:
            raise GeneratorExit  # comes out of the outermost coroutine that waits for the task, past everything within

        await asyncio.create_task(gone())

    world = World(closes_itself, noop, slots=1)
    job_id = await world.post("CLOSES_ITSELF")
    other = await world.post("NOOP")
    async with world.at_work():
        await world.until_state(job_id, "Attempted")
        await world.until_state(other, "Completed")
        await until(lambda: len(world.worker.running) == 0)
    [error] = [event.content for event in world.log.events if type_name(event.event) == "Attempted"]
    assert error == b'"the attempt broke off: GeneratorExit"'


async def test_a_runner_that_gets_no_thread_is_an_error_of_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    @jobledger.job_type("THREADED")
    def threaded(payload: Any, context: jobledger.Context) -> None: ...

    world = World(threaded)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(world.threads, "submit", refuse)
    job_id = await world.post("THREADED")
    async with world.at_work():
        await world.until_state(job_id, "Attempted")
    assert world.log.events[-1].content == b'"the attempt broke off: RuntimeError: can\'t start new thread"'


async def test_no_more_run_at_once_than_there_are_slots() -> None:
    running: set[str] = set()
    most = 0
    go_on = asyncio.Event()

    @jobledger.job_type("COUNTED")
    async def counted(payload: Any, context: jobledger.Context) -> None:
        nonlocal most
        running.add(context.job_id)
        most = max(most, len(running))
        await go_on.wait()
        running.discard(context.job_id)

    world = World(counted, slots=3)
    jobs = [await world.post("COUNTED") for _ in range(10)]
    async with world.at_work():
        await until(lambda: len(running) == 3)
        assert world.worker.running.free == 0
        go_on.set()
        for job_id in jobs:
            await world.until_state(job_id, "Completed")
    assert most == 3


async def test_a_job_that_was_delivered_twice_runs_once() -> None:
    world = World(noop)
    job_id = await world.post("NOOP")
    stream = world.server.streams["default"]
    [entry] = stream.entries.values()
    stream.add((99, 0), QueueEntry("default", "99-0", job_id, 1, "NOOP", 1))
    assert entry.job_id == job_id
    async with world.at_work():
        await world.until_state(job_id, "Completed")
        await until(lambda: world.left_in_queue() == 0)
    assert world.types_of(job_id) == ["Created", "Started", "Completed"]


async def test_a_cancelled_job_is_not_run() -> None:
    world = World(noop)
    job_id = await world.post("NOOP")
    await world.log.append([Append(job_id, 1, [NewEvent(Cancelled())], "somebody")])
    async with world.at_work():
        await until(lambda: world.left_in_queue() == 0)
    assert world.types_of(job_id) == ["Created", "Cancelled"]


async def test_a_type_that_this_worker_does_not_know_is_parked_and_not_failed() -> None:
    world = World(noop)
    foreign = await world.post("ELSEWHERE")
    own = await world.post("NOOP")
    async with world.at_work():
        await world.until_state(own, "Completed")
        await until(lambda: "parked:ELSEWHERE" in world.server.streams)
    assert world.types_of(foreign) == ["Created"]


async def test_an_attempt_beyond_its_time_is_stopped_and_closed_as_timeout() -> None:
    world = World(brief)
    job_id = await world.post("BRIEF")
    async with world.at_work():
        await world.until_state(job_id, "Attempted")
    job = await world.log.find(job_id)
    assert job is not None
    assert (job.outcome, job.error) == ("timeout", b'"timed out after 0.05 s"')


async def test_a_plain_function_that_overstays_keeps_its_slot_and_is_closed_when_it_ends() -> None:
    go_on = threading.Event()
    told = threading.Event()

    @jobledger.job_type("STUBBORN", timeout=0.05)
    def stubborn(payload: Any, context: jobledger.Context) -> None:
        while not context.should_stop:
            go_on.wait(0.005)
        told.set()
        go_on.wait(30)
        raise RuntimeError("late")

    world = World(stubborn, slots=1)
    job_id = await world.post("STUBBORN")
    async with world.at_work():
        await until(told.is_set)
        assert world.types_of(job_id) == ["Created", "Started"]
        assert world.worker.running.free == 0
        go_on.set()
        await world.until_state(job_id, "Attempted")
    job = await world.log.find(job_id)
    assert job is not None
    assert job.outcome == "timeout"


async def test_at_a_stop_what_ends_in_time_is_completed_and_what_does_not_is_released() -> None:
    go_on = asyncio.Event()

    @jobledger.job_type("PATIENT")
    async def patient(payload: Any, context: jobledger.Context) -> None:
        await go_on.wait()

    world = World(patient, forever)
    ends, stays = await world.post("PATIENT"), await world.post("FOREVER")
    async with world.at_work(grace=0.5):
        await world.until_state(ends, "Started")
        await world.until_state(stays, "Started")
        world.worker.stop()
        late = await world.post("PATIENT")
        go_on.set()
    assert world.types_of(ends) == ["Created", "Started", "Completed"]
    assert world.types_of(stays) == ["Created", "Started", "Attempted", "Queued"]
    assert world.types_of(late) == ["Created"]
    job = await world.log.find(stays)
    assert job is not None
    assert (job.used, job.error, job.status) == (0, None, "pending")


async def test_a_stop_while_every_slot_is_taken_is_heard_at_once_and_what_runs_is_released() -> None:
    world = World(forever, slots=1)
    job_id = await world.post("FOREVER")
    working = asyncio.create_task(world.worker.run())
    await world.until_state(job_id, "Started")
    await until(lambda: world.worker.running.free == 0)
    world.worker.stop()
    await asyncio.wait_for(working, 5)
    assert await world.worker.finish(grace=0.5)
    assert world.types_of(job_id)[:3] == ["Created", "Started", "Attempted"]
    world.threads.shutdown()


async def test_a_read_that_does_not_hear_its_cancellation_is_cancelled_again() -> None:
    world = World(noop)
    lost = 0

    class HardOfHearing(FakeClaimQueue):
        async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
            nonlocal lost
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
            return await super().read(count, 60.0)

    world.worker._queue = HardOfHearing(world.server, worker_id="w1", job_types=["NOOP"])
    working = asyncio.create_task(world.worker.run())
    await until(lambda: world.worker._reading is not None)
    await asyncio.sleep(0)  # its first step
    world.worker.stop()
    await asyncio.wait_for(working, 5)
    assert lost == 1
    world.threads.shutdown()


async def test_what_a_claim_brings_after_the_time_to_end_is_released_before_it_begins() -> None:
    world = World(noop)
    job_id = await world.post("NOOP")
    is_asked, may_answer = asyncio.Event(), asyncio.Event()
    append = world.log.append

    async def append_slowly(commands: Sequence[Append]) -> list[Answer]:
        if isinstance(commands[0].events[0].event, Started):
            is_asked.set()
            await may_answer.wait()
        return await append(commands)

    world.log.append = append_slowly  # type: ignore[method-assign]
    working = asyncio.create_task(world.worker.run())
    await is_asked.wait()
    world.worker.stop()
    finishing = asyncio.create_task(world.worker.finish(grace=5.0))
    await until(lambda: world.worker._runs._releasing)
    may_answer.set()
    assert await finishing
    await working
    assert world.types_of(job_id)[:3] == ["Created", "Started", "Attempted"]
    world.threads.shutdown()


async def test_a_running_job_that_somebody_cancels_is_stopped_and_closed_as_cancelled() -> None:
    world = World(forever)
    job_id = await world.post("FOREVER")
    async with world.at_work():
        await world.until_state(job_id, "Started")
        await world.log.append([Append(job_id, 2, [NewEvent(CancelRequested())], "somebody")])
        world.worker.hear(HeartbeatAnswer(alive=True, cancelled=[job_id], closed=[], strays=[]))
        await world.until_state(job_id, "Cancelled")
    assert world.types_of(job_id) == ["Created", "Started", "CancelRequested", "Cancelled"]


async def test_an_attempt_that_somebody_else_closed_is_stopped_and_not_recorded() -> None:
    world = World(forever)
    job_id = await world.post("FOREVER")
    async with world.at_work():
        await world.until_state(job_id, "Started")
        await until(lambda: job_id in world.worker.running)
        world.worker.hear(HeartbeatAnswer(alive=True, cancelled=[], closed=[job_id], strays=[]))
        await until(lambda: world.worker.running.free == 4)
    assert world.types_of(job_id) == ["Created", "Started"]


async def test_a_worker_that_was_given_up_abandons_what_it_runs_and_works_on_under_another_name() -> None:
    world = World(forever, noop)
    stuck = await world.post("FOREVER")
    async with world.at_work():
        await until(lambda: stuck in world.worker.running)
        world.log.workers.discard("w1")
        refused = await world.post("NOOP")
        world.log.workers.add("w2")
        world.worker.begin_anew("w2")
        following = await world.post("NOOP")
        await world.until_state(following, "Completed")
        assert stuck not in world.worker.running
    assert world.types_of(stuck) == ["Created", "Started"]
    assert world.log.events[-1].actor == "w2"
    assert world.types_of(refused)[0] == "Created"


async def test_a_stray_is_closed_by_the_worker_itself() -> None:
    world = World(noop)
    job_id = await world.post("ELSEWHERE")
    [answer] = await world.log.append([Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")])
    assert isinstance(answer, Appended)
    async with world.at_work():
        world.worker.hear(HeartbeatAnswer(alive=True, cancelled=[], closed=[], strays=[job_id]))
        await world.until_state(job_id, "Attempted")
    job = await world.log.find(job_id)
    assert job is not None
    assert job.outcome == "lost"


async def test_while_the_queue_is_away_the_worker_says_so_once_and_goes_on_afterwards() -> None:
    world = World(noop)
    await world.post("NOOP")
    world.server.is_away = True
    async with world.at_work():
        await until(lambda: "dependency away" in world.reports.events)
        assert not world.worker.can_claim
        world.server.is_away = False
        await until(lambda: world.worker.can_claim)
        await until(lambda: world.left_in_queue() == 0)
    assert world.reports.events == ["dependency away", "dependency back"]


async def test_what_a_worker_read_and_did_not_claim_is_swept_up_by_another() -> None:
    world = World(noop)
    job_id = await world.post("NOOP")
    dead = FakeClaimQueue(world.server, worker_id="dead", job_types=["NOOP"])
    assert [entry.job_id for entry in await dead.read(1, 0.0)] == [job_id]
    stream = world.server.streams["default"]
    stream.pending = {id: (consumer, at - 60.0) for id, (consumer, at) in stream.pending.items()}
    async with world.at_work():
        await world.until_state(job_id, "Completed")


async def test_a_high_job_goes_before_a_default_one() -> None:
    world = World(noop, slots=1)
    default = [await world.post("NOOP") for _ in range(3)]
    high = [await world.post("NOOP", priority="high") for _ in range(3)]
    async with world.at_work():
        for job_id in default + high:
            await world.until_state(job_id, "Completed")
    order = [event.job_id for event in world.log.events if isinstance(event.event, Started)]
    assert order == high + default
