"""The process `worker`: the real worker and heartbeat over gated ports; the code of its attempts ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from adapters.postgres.queued_jobs import PostgresQueuedJobs
from adapters.redis.claim_queue import RedisClaimQueue
from commands.attempt import AttemptContext, Outcome, Stopped
from commands.heartbeat import Heartbeat
from commands.outages import Outages
from commands.ports import QueueEntry
from commands.uninterrupted_queue import UninterruptedQueue
from commands.worker import Worker
from domain.events import Started
from tests.fakes.report import FakeReport
from tests.properties.histories import POLICY
from tests.properties.simulation.faults import make_faulty
from tests.properties.simulation.gates import Process
from tests.properties.simulation.model import Execution
from tests.properties.simulation.processes import JOB_TYPES
from tests.properties.simulation.world import World

SLOTS = 2
TIMEOUT = 30.0  # seconds that an attempt may take
STUBBORN = b'"stubborn"'  # the payload of code that does not stop when it is told to


class WorkerProcess(Process):
    """Registered and at work from the beginning. `types`: what it can run."""

    def __init__(self, name: str, world: World, *, types: Sequence[str]) -> None:
        super().__init__(name, world.clock)
        self._world = world
        self.types = types
        self._renewals = 0
        self._queues: list[RedisClaimQueue] = []
        self._stopping: asyncio.Task[bool] | None = None
        self.code = _Code(self, world)
        self._outages = Outages(report=FakeReport(), now=lambda: world.clock.seconds)
        self.do(self._make)
        self.beat()
        self.begin(self.worker.run())

    def _make(self) -> None:
        world = self._world
        self.worker = Worker(
            self.name,
            queue_of=self._queue_of,
            log=self.gate("log", world.new_log(patience=None)),
            jobs=self.gate("jobs", world.jobs),
            job_types={known: JOB_TYPES[known] for known in self.types},
            runner=self.code,
            slots=SLOTS,
            default_timeout=TIMEOUT,
            policy=POLICY,
            report=FakeReport(),
            outages=self._outages,
            pause_after=_pause_after,
        )
        self._heartbeat = Heartbeat(
            registry=world.registry,
            name=self.name,
            new_name=self._new_name,
            running=self.worker.running.snapshot,
            claims_from=lambda: None,
            hear=lambda answer: self.do(self.worker.hear, answer),
            renewed=lambda renewed: self.do(self.worker.begin_anew, renewed),
            silent_for=lambda: 0.0,
            patience=lambda: 1.0,
            end_process=lambda seconds: None,
            outages=self._outages,
        )

    def beat(self) -> None:
        """One heartbeat; the first one registers."""
        self._heartbeat._beat()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self._stopping is None:
            self.do(self.worker.stop)
            self._stopping = self.begin(self.worker.finish(grace=10.0))

    def end_if_finished(self) -> None:
        """After SIGTERM it ends once all is closed, its row being the last to go; or when its grace is over, leaving its row."""
        if self.is_dead or self._stopping is None or not self._stopping.done():
            return
        if self._stopping.result():
            self._world.registry.deregister(self.worker.name)
        else:
            self._world.model.mourned.add(self.worker.name)
        self.kill()

    def kill(self) -> None:
        super().kill()
        for queue in self._queues:
            self._world.io(queue.aclose())

    def _queue_of(self, name: str) -> Any:
        queue = RedisClaimQueue(self._world.redis_url, worker_id=name, job_types=self.types)
        for client in (queue._client, queue._blocking):
            make_faulty(client, self._world.faults)
        self._queues.append(queue)
        queued = PostgresQueuedJobs(self._world.connection, worker=name, job_types=self.types)
        return UninterruptedQueue(
            streams=self.gate("queue", _HurriedQueue(queue)),
            jobs=self.gate("queued", queued),
            outages=self._outages,
            pause_after=_pause_after,
        )

    def _new_name(self) -> str:
        self._renewals += 1
        return f"{self.name}.{self._renewals}"


class _Code:
    """Implements commands.attempt.AttemptRunner: each attempt runs until the simulation ends it, or until it is told to stop."""

    def __init__(self, process: WorkerProcess, world: World) -> None:
        self._process = process
        self._world = world
        self.running: list[tuple[Execution, asyncio.Future[Outcome]]] = []

    async def run(self, job_type: str, payload: bytes, context: AttemptContext, *, isolated: bool = False) -> Outcome:
        """See AttemptRunner.run."""
        assert job_type in self._process.types
        execution = Execution(
            process=self._process,
            worker=self._claimed_by(context),
            job_id=context.job_id,
            attempt=context.attempt,
            payload=payload,
            isolated=isolated,
        )
        self._world.model.judge_beginning(execution)
        ending: asyncio.Future[Outcome] = self._process.loop.create_future()
        self.running.append((execution, ending))
        try:
            execution.outcome = await self._until_it_ends(ending, payload, context)
        finally:
            self.running.remove((execution, ending))
        return execution.outcome

    async def run_batch(
        self, job_type: str, payloads: Sequence[bytes], contexts: Sequence[AttemptContext]
    ) -> list[Outcome]:
        """See AttemptRunner.run_batch."""
        raise AssertionError("no type of the simulation takes batches")

    def end(self, index: int, outcome: Outcome) -> None:
        """Let the attempt number `index` of those that run end so."""
        _, ending = self.running[index]
        ending.set_result(outcome)
        self._process.rest()

    async def _until_it_ends(self, ending: asyncio.Future[Outcome], payload: bytes, context: AttemptContext) -> Outcome:
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            if self._process.is_dead or not context.should_stop:
                raise
            if payload == STUBBORN:
                return await ending
            return Stopped(b'"told to stop"')

    def _claimed_by(self, context: AttemptContext) -> str:
        """The worker's name in the log: it may have another one by now."""
        for recorded in self._world.model.events:
            event = recorded.event
            if recorded.job_id == context.job_id and isinstance(event, Started) and event.attempt == context.attempt:
                return event.worker
        raise AssertionError(f"attempt {context.attempt} of {context.job_id} runs, and the log knows nothing of it")


class _HurriedQueue:
    """A claim queue whose reads do not wait, and whose entries are old enough to be swept as soon as they are pending."""

    def __init__(self, queue: RedisClaimQueue) -> None:
        self._queue = queue
        self.acknowledge = queue.acknowledge
        self.park = queue.park

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        return await self._queue.read(count, 0.0)

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        return await self._queue.sweep(count, 0.0)


def _pause_after(failures: int) -> float:
    return min(2.0, 0.1 * float(2**failures))
