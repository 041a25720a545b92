"""Whatever happens to log, queue, relays and workers, in any order: afterwards each queued job runs, and none is forgotten.

The same machine drives the fake queue (many runs) and the real one (a few).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from adapters.redis.names import GROUP
from commands.mend_queue import MendQueue
from commands.ports import QueueEntry
from commands.queue_ports import STREAMS, ClaimQueue
from commands.relay_events import Relay
from domain.events import Cancelled, Completed, Created, Event, Priority, Queued, Started
from domain.job import TRANSITIONS
from tests.contract.queue_benches import LOG, FakeBench, RedisBench, entry
from tests.fakes.queue_feed import FakeQueueFeed
from tests.properties.effort import effort

T = TypeVar("T")
_STREAMS = st.sampled_from(list(STREAMS.values()))
_WORKERS = {"old": ("A",), "new": ("A", "B")}  # `old` does not know the type B


class QueueMachine(RuleBasedStateMachine):
    """Rules are what may happen; `teardown` heals everything, lets the queue drain and judges."""

    def __init__(self, bench: FakeBench | RedisBench, run: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self._run = run
        self.bench = bench
        self.feed = FakeQueueFeed(LOG)
        self.jobs = 0
        self.is_harmed = False
        self.copy: Any = None
        self.relays = [self.new_relay() for _ in range(2)]
        self.mend = MendQueue(queue=bench.relay_queue, feed=self.feed, page=3)
        self.workers: dict[str, ClaimQueue] = {}
        self.claiming: dict[str, list[QueueEntry]] = {}
        for name in _WORKERS:
            self.restart(name)

    def run(self, work: Awaitable[T]) -> T:
        return cast("T", self._run(work))

    def new_relay(self) -> Relay:
        return Relay(queue=self.bench.relay_queue, feed=self.feed, page=3, far_behind=8)

    def restart(self, name: str) -> None:
        self.workers[name] = self.bench.worker(name, *_WORKERS[name])
        self.claiming[name] = []

    def state(self, job_id: str) -> str:
        return next((e.type for e in reversed(self.feed.events) if e.job_id == job_id), "")

    @initialize()
    def begin_with_a_queue(self) -> None:
        self.run(self.relays[0].step())

    @rule(priority=st.sampled_from(("high", "default")), type=st.sampled_from(("A", "B")), is_delayed=st.booleans())
    def create(self, priority: Priority, type: str, is_delayed: bool) -> None:
        self.jobs += 1
        delay = 5.0 if is_delayed else None
        self.feed.append(
            entry(self.jobs).job_id,
            Created(type=type, priority=priority, attempt=1, used=0, max_attempts=3, delay=delay),
        )

    @precondition(lambda self: self.jobs > 0)
    @rule(data=st.data())
    def wake_or_cancel(self, data: st.DataObject) -> None:
        job_id = entry(data.draw(st.integers(1, self.jobs))).job_id
        choices: list[Event] = [Cancelled(), Queued(type="A", priority="high", attempt=2, used=0, max_attempts=3)]
        event = data.draw(st.sampled_from(choices))
        if (self.state(job_id), event.__class__.__name__) in TRANSITIONS and self.state(job_id):
            self.feed.append(job_id, event)

    @rule(which=st.integers(0, 1))
    def relay(self, which: int) -> None:
        self.run(self.relays[which].step())

    @rule(which=st.integers(0, 1))
    def replace_a_relay(self, which: int) -> None:
        self.relays[which] = self.new_relay()

    @rule(back=st.integers(0, 12))
    def let_the_read_side_lag(self, back: int) -> None:
        self.feed.checkpoint = max(0, len(self.feed.events) - back)

    @rule(name=st.sampled_from(sorted(_WORKERS)), count=st.integers(1, 4))
    def read(self, name: str, count: int) -> None:
        self.claiming[name] += self.run(self.workers[name].read(count, 0))

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def sweep(self, name: str) -> None:
        self.claim(name)
        self.claiming[name] = self.run(self.workers[name].sweep(10, 0))

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def claim(self, name: str) -> None:
        entries, self.claiming[name] = self.claiming[name], []
        known = [found for found in entries if found.type in _WORKERS[name]]
        for found in known:
            self.start(found, name)
        self.run(self.workers[name].acknowledge(known))
        self.run(self.workers[name].park([found for found in entries if found.type not in _WORKERS[name]]))

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def kill_a_worker(self, name: str) -> None:
        self.restart(name)

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def kill_a_worker_before_it_acknowledges(self, name: str) -> None:
        for found in self.claiming[name]:
            if found.type in _WORKERS[name]:
                self.start(found, name)
        self.restart(name)

    @rule()
    def look_for_missing_entries(self) -> None:
        self.run(self.mend.step())

    @rule(stream=_STREAMS, what=st.sampled_from(("flush", "stream", "group", "foreign", "entry")))
    def harm_redis(self, stream: str, what: str) -> None:
        self.is_harmed = True
        is_there = any(
            state.last_id is not None and state.has_group and name == stream
            for name, state in zip(STREAMS.values(), self.run(self.bench.relay_queue.inspect()).streams, strict=True)
        )
        if what == "flush":
            self.run(self.bench.flush())
        elif is_there and what == "stream":
            self.run(self.bench.delete_stream(stream))
        elif is_there and what == "group":
            self.run(self.bench.destroy_group(stream))
        elif is_there and what == "foreign":
            self.run(self.bench.add_foreign(stream))
        elif what == "entry":
            for found in self.run(self.bench.contents())[:1]:
                self.run(self.bench.delete_entry(found.stream, found.entry_id))

    @rule()
    def copy_redis(self) -> None:
        self.copy = save(self.bench)

    @precondition(lambda self: self.copy is not None)
    @rule()
    def roll_redis_back(self) -> None:
        self.is_harmed = True
        load(self.bench, self.copy)

    @precondition(lambda self: len(self.feed.events) > 0)
    @rule(data=st.data())
    def restore_postgres(self, data: st.DataObject) -> None:
        self.is_harmed = True
        self.feed.restore(data.draw(st.integers(max(0, len(self.feed.events) - 6), len(self.feed.events))))

    def start(self, found: QueueEntry, name: str) -> None:
        """What the log decides: only the first Started directly after the entry's event is taken."""
        newest = [e for e in self.feed.events if e.job_id == found.job_id][-1:]
        if newest and newest[0].version == found.version and (newest[0].type, "Started") in TRANSITIONS:
            self.feed.append(found.job_id, Started(attempt=found.attempt, worker=name))
            self.feed.append(found.job_id, Completed(attempt=found.attempt, worker=name))

    def settle_relay(self) -> None:
        for _ in range(3):  # each time as if after a pause
            for _ in range(200):
                if not self.run(self.relays[0].step()):
                    break
            else:
                raise AssertionError("the relay never comes to an end")

    def teardown(self) -> None:
        self.feed.checkpoint = None
        self.settle_relay()
        if not self.is_harmed:
            found = [(e.job_id, e.version) for e in self.run(self.bench.contents())]
            assert len(found) == len(set(found)), "an event became two entries"
        while self.run(self.mend.step()):
            pass
        while self.run(self.mend.step()):  # one pass from its beginning
            pass
        for _ in range(2):  # what one of them parks, the other must see
            for name in _WORKERS:
                self.drain(name)
        waiting = {e.job_id for e in self.feed.events if self.is_queued(e.job_id)}
        assert waiting == set(), "queued jobs were forgotten"
        assert self.run(self.bench.contents()) == []
        pending(self.bench)

    def drain(self, name: str) -> None:
        """Let the worker claim all that it can get."""
        is_more = True
        while is_more:
            self.claim(name)
            self.read(name, 100)
            if not self.claiming[name]:
                self.sweep(name)
            is_more = bool(self.claiming[name])

    def is_queued(self, job_id: str) -> bool:
        page = self.run(self.feed.queued_page(after=0, limit=1_000))
        return any(found.job_id == job_id for found in page.entries)


def save(bench: FakeBench | RedisBench) -> Any:
    if isinstance(bench, FakeBench):
        kept = {name: value for name, value in vars(bench.server).items() if name != "changed"}
        return copy.deepcopy(kept)
    with redis.Redis.from_url(bench.url) as by_hand:
        return {key: by_hand.dump(key) for key in by_hand.keys("*")}


def load(bench: FakeBench | RedisBench, kept: Any) -> None:
    if isinstance(bench, FakeBench):
        vars(bench.server).update(copy.deepcopy(kept))
        return
    with redis.Redis.from_url(bench.url) as by_hand:
        by_hand.flushall()
        for key, value in kept.items():
            by_hand.restore(key, 0, value)


def pending(bench: FakeBench | RedisBench) -> None:
    """Nothing is left in a pending list."""
    if isinstance(bench, FakeBench):
        assert all(not stream.pending for stream in bench.server.streams.values())
        return
    with redis.Redis.from_url(bench.url) as by_hand:
        for stream in by_hand.keys("*"):
            if by_hand.type(stream) == b"stream":
                assert by_hand.xpending(stream, GROUP)["pending"] == 0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Not that of the async tests: the machine's rules are plain functions."""
    own = asyncio.new_event_loop()
    yield own
    own.close()


def test_the_fake_queue_forgets_no_job(loop: asyncio.AbstractEventLoop) -> None:
    class OverFake(QueueMachine):
        def __init__(self) -> None:
            super().__init__(FakeBench(), loop.run_until_complete)

    run_state_machine_as_test(OverFake, settings=effort(quick=60, long=3_000))


def test_the_real_queue_forgets_no_job(loop: asyncio.AbstractEventLoop, redis_url: str) -> None:
    class OverRedis(QueueMachine):
        def __init__(self) -> None:
            super().__init__(RedisBench(redis_url), loop.run_until_complete)
            self.run(self.bench.flush())

        def teardown(self) -> None:
            assert isinstance(self.bench, RedisBench)
            try:
                super().teardown()
            finally:
                self.run(self.bench.aclose())

    run_state_machine_as_test(OverRedis, settings=effort(quick=10, long=300))
