"""The queue that goes on without its streams: when it leaves them, what it gives then, and when it returns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uuid_utils

from commands import uninterrupted_queue as module
from commands.claim_jobs import claim_jobs
from commands.outages import Outages
from commands.ports import Append, Appended, QueueEntry, Unavailable
from commands.queue_ports import DIRECTLY, STREAMS, Mark
from commands.uninterrupted_queue import UninterruptedQueue
from domain import job as verbs
from domain.events import Priority
from tests.fakes.event_log import FakeEventLog
from tests.fakes.queue import FakeClaimQueue, FakeQueueServer, FakeRelayQueue
from tests.fakes.queued_jobs import FakeQueuedJobs
from tests.fakes.report import FakeReport
from tests.until import until


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "OTHERS_AFTER", 0.1)


class SlowStreams(FakeClaimQueue):
    """Streams whose server says nothing, once it is away: an error comes only when `gives_up` is set."""

    def __init__(self, server: FakeQueueServer, *, worker_id: str) -> None:
        super().__init__(server, worker_id=worker_id, job_types=["A"])
        self.gives_up = asyncio.Event()
        self.gives_up.set()
        self.reads = 0

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        self.reads += 1
        if self._server.is_away:
            await self.gives_up.wait()
        return await super().read(count, block_seconds)


class World:
    """A log and streams, with the queues of several workers over both."""

    def __init__(self) -> None:
        self.log = FakeEventLog()
        self.server = FakeQueueServer()
        self.relay = FakeRelayQueue(self.server)
        self.report = FakeReport()
        self.streams: dict[str, SlowStreams] = {}
        self.jobs: dict[str, FakeQueuedJobs] = {}
        self.queues: dict[str, UninterruptedQueue] = {}

    def worker(self, name: str) -> UninterruptedQueue:
        self.log.workers.add(name)
        self.streams[name] = SlowStreams(self.server, worker_id=name)
        self.jobs[name] = FakeQueuedJobs(self.log, worker=name, job_types=["A"])
        self.queues[name] = UninterruptedQueue(
            streams=self.streams[name],
            jobs=self.jobs[name],
            outages=Outages(report=self.report),
            pause_after=lambda failures: 0.01,
        )
        return self.queues[name]

    async def post(self, count: int = 1, *, priority: Priority = "default") -> list[str]:
        """Create jobs, and relay them where there is a queue to relay to."""
        posted = []
        for _ in range(count):
            job_id = str(uuid_utils.uuid7())
            events = verbs.create(type="A", priority=priority, payload=b"1", max_attempts=3)
            [answer] = await self.log.append([Append(job_id, 0, events, "client")])
            assert isinstance(answer, Appended)
            posted.append(job_id)
            if not self.server.is_away:
                state = self.server.state()
                if state.log_id is None:
                    state = await self.relay.reset(state, log_id="log")
                entry = QueueEntry(STREAMS[priority], f"{answer.position}-0", job_id, 1, "A", 1)
                assert await self.relay.relay(state, Mark(answer.position, job_id, 1), [entry]) is None
        return posted

    async def read_until(self, queue: UninterruptedQueue, source: str) -> list[QueueEntry]:
        """Read until entries come from there; gives them."""
        found: list[QueueEntry] = []

        async def reads() -> bool:
            nonlocal found
            found = await queue.read(10, 0.01)
            return queue.source == source

        await until(reads)
        return found


@asynccontextmanager
async def closing(world: World) -> AsyncIterator[World]:
    try:
        yield world
    finally:
        for streams in world.streams.values():
            streams.gives_up.set()
        for queue in world.queues.values():
            await queue.aclose()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with closing(World()) as world:
        yield world


async def without_streams(world: World, name: str = "w") -> UninterruptedQueue:
    queue = world.worker(name)
    world.server.is_away = True
    await world.read_until(queue, "jobs")
    return queue


async def read_all(queue: UninterruptedQueue, count: int) -> list[QueueEntry]:
    found: list[QueueEntry] = []

    async def enough() -> bool:
        found.extend(await queue.read(count - len(found), 0.01))
        return len(found) >= count

    await until(enough, saw=lambda: found)
    return found


async def test_while_there_are_streams_they_alone_are_read(world: World) -> None:
    queue = world.worker("w")
    [job_id] = await world.post()
    entries = await queue.read(10, 0.0)

    assert [(entry.job_id, entry.stream) for entry in entries] == [(job_id, "default")]
    assert await queue.sweep(10, 0.0) == entries
    await queue.acknowledge(entries)
    assert world.jobs["w"].looks == 0
    assert world.server.streams["default"].entries == {}


async def test_an_outage_of_a_moment_leaves_everything_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    queue = world.worker("w")
    await world.post()
    world.server.is_away = True
    assert await queue.read(1, 0.0) == []
    assert await queue.sweep(1, 0.0) == []
    world.server.is_away = False
    assert len(await queue.read(1, 0.0)) == 1
    assert (world.report.lines, world.jobs["w"].looks) == ([], 0)


async def test_without_streams_the_queued_jobs_are_given_those_of_high_priority_first(world: World) -> None:
    queue = await without_streams(world)
    default = await world.post(2)
    high = await world.post(2, priority="high")
    entries = await read_all(queue, 4)

    assert [entry.job_id for entry in entries] == high + default
    assert {entry.stream for entry in entries} == {DIRECTLY}
    claims = await claim_jobs(entries, worker="w", log=world.log)
    assert [claimed.payload for claimed in claims.attempts] == [b"1"] * 4
    await queue.acknowledge(claims.settled)  # says nothing: they are in no stream
    assert await queue.read(10, 0.0) == []
    assert await queue.sweep(10, 0.0) == []


async def test_it_returns_as_soon_as_the_streams_can_be_read_and_one_line_tells_of_each_change(world: World) -> None:
    queue = await without_streams(world)
    await world.post()
    claims = await claim_jobs(await read_all(queue, 1), worker="w", log=world.log)
    assert len(claims.attempts) == 1
    world.server.is_away = False
    [relayed] = await world.post()
    entries = await world.read_until(queue, "streams")
    entries += await read_all(queue, 1 - len(entries))

    assert [(entry.job_id, entry.stream) for entry in entries] == [(relayed, "default")]
    assert [(event, fields["dependency"]) for event, fields in world.report.lines] == [
        ("dependency away", "Redis"),
        ("dependency back", "Redis"),
    ]
    assert world.report.lines[0][1]["meanwhile"] == "jobs are claimed directly from PostgreSQL"


async def test_what_was_claimed_directly_is_refused_by_the_log_when_the_streams_give_it(world: World) -> None:
    queue = world.worker("w")
    jobs = await world.post(3)
    world.server.is_away = True
    await world.read_until(queue, "jobs")
    claims = await claim_jobs(await read_all(queue, 3), worker="w", log=world.log)
    assert len(claims.attempts) == 3
    world.server.is_away = False
    again = await world.read_until(queue, "streams")
    again += await read_all(queue, 3 - len(again))

    assert [entry.job_id for entry in again] == jobs
    claims = await claim_jobs(again, worker="w", log=world.log)
    assert (claims.attempts, claims.settled) == ([], again)
    await queue.acknowledge(claims.settled)
    assert world.server.streams["default"].entries == {}


async def test_a_server_that_says_nothing_holds_up_no_claim(world: World) -> None:
    queue = await without_streams(world)
    world.streams["w"].gives_up.clear()
    await until(_asked_again(world, queue))
    jobs = await world.post(5)

    assert [entry.job_id for entry in await read_all(queue, 5)] == jobs
    assert queue.source == "jobs"


def _asked_again(world: World, queue: UninterruptedQueue) -> Callable[[], Awaitable[bool]]:
    before = world.streams["w"].reads

    async def asked() -> bool:
        await queue.read(1, 0.01)
        return world.streams["w"].reads > before

    return asked


async def test_an_idle_worker_looks_now_and_then_and_not_all_the_time(world: World) -> None:
    queue = await without_streams(world)
    before = world.jobs["w"].looks
    loop = asyncio.get_running_loop()
    until_time = loop.time() + 0.5
    while loop.time() < until_time:
        assert await queue.read(10, 1.0) == []
    assert world.jobs["w"].looks - before <= 10


async def test_if_postgres_is_away_too_that_is_said(world: World) -> None:
    queue = await without_streams(world)
    world.log.away = True
    with pytest.raises(Unavailable, match="the log is away"):
        await queue.read(1, 0.0)
    world.log.away = False
    [job_id] = await world.post()
    assert [entry.job_id for entry in await read_all(queue, 1)] == [job_id]


async def test_several_workers_take_different_jobs(world: World) -> None:
    names = ["w1", "w2", "w3"]
    for name in names:
        world.worker(name)
    world.server.is_away = True
    for name in names:
        await world.read_until(world.queues[name], "jobs")
    await world.post(90)
    taken = [entry.job_id for name in names for entry in await world.queues[name].read(90, 0.0)]

    assert len(taken) == 90
    assert set(Counter(taken).values()) == {1}


async def test_what_falls_to_a_worker_that_does_not_take_it_is_taken_by_another_soon(world: World) -> None:
    queue = await without_streams(world, "w1")
    world.worker("w2")
    jobs = await world.post(20)
    own = await queue.read(20, 0.0)
    assert 0 < len(own) < 20
    await claim_jobs(own, worker="w1", log=world.log)

    others = await read_all(queue, 20 - len(own))

    assert {entry.job_id for entry in own + others} == set(jobs)


async def test_of_high_priority_everything_goes_before_a_default_job_whoever_it_falls_to(world: World) -> None:
    queue = await without_streams(world, "w1")
    world.worker("w2")
    await world.post(20)
    high = await world.post(20, priority="high")
    entries = await queue.read(30, 0.0)

    assert {entry.job_id for entry in entries[:20]} == set(high)
