"""The processes `api` and `dispatcher`: real use cases over gated ports. None knows that it is simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from adapters.redis.relay_queue import RedisConsumers, RedisRelayQueue
from commands.create_job import CreateJob, JobCreator, KeyReused
from commands.heartbeat import BEAT_EVERY
from commands.mend_queue import MendQueue
from commands.ports import Append, Appended, IdempotencyKey, RejectedData, Unavailable
from commands.relay_events import Relay
from commands.wake_due import WakeDue
from commands.watch_workers import WatchWorkers
from domain import job as verbs
from domain.errors import IllegalTransition
from domain.events import NewEvent, Priority
from domain.job import Job
from domain.job_type import JobType
from tests.properties.histories import LIVENESS, POLICY
from tests.properties.simulation.gates import Call, Process
from tests.properties.simulation.world import World

JOB_TYPES = {name: JobType(name, run=lambda payload, context: None) for name in ("A", "B")}
REFUSED = b'"\0"'  # a payload that PostgreSQL refuses
LOOPS = ("relay", "wake", "watch", "mend", "forget")


class NewJob(Struct, frozen=True):
    """A job that a client wants."""

    type: str
    priority: Priority
    payload: bytes
    max_attempts: int
    delay: float | None


def work_on(world: World, process: Process, limit: int) -> int:
    """Perform and answer the process's calls, the oldest first, at most `limit`, until there is nothing for it to do.

    Answers how many calls brought something.
    """
    brought = 0
    for _ in range(limit):
        if not process.calls or process.is_stopped or process.is_dead:
            break
        call = process.calls[0]
        if not call.is_performed:
            world.perform(*appends_before(process, call))
        is_idle = call.method in ("read", "sweep") and not call.answer
        process.deliver(call)
        if is_idle and all(other.method == "read" for other in process.calls):
            if call.method == "read":
                break
        else:
            brought += 1
    return brought


def appends_before(process: Process, call: Call) -> list[Call]:
    """The call, and if it is an append, all that the process has submitted before it: they go in order, in one batch."""
    if call.method != "append":
        return [call]
    upto = process.calls[: process.calls.index(call) + 1]
    return [other for other in upto if other.method == "append" and not other.is_performed]


class Api(Process):
    """Accepts jobs, cancels and retries."""

    def __init__(self, name: str, world: World, *, is_hasty: bool) -> None:
        super().__init__(name, world.clock)
        self._world = world
        self._log = self.gate("log", world.new_log(patience=0.0 if is_hasty else None))
        self._jobs = self.gate("jobs", world.jobs)
        self._creator = JobCreator(log=self._log, job_types=JOB_TYPES, new_job_id=world.new_job_id, max_attempts=2)

    async def create(self, jobs: Sequence[NewJob]) -> None:
        """Several at once."""
        model = self._world.model
        appends = []
        for new in jobs:
            events = verbs.create(
                type=new.type,
                priority=new.priority,
                payload=new.payload,
                max_attempts=new.max_attempts,
                delay=new.delay,
            )
            appends.append(Append(self._world.new_job_id(), 0, events, "client"))
        with suppress(Unavailable):
            for append, new, answer in zip(appends, jobs, await self._log.append(appends), strict=True):
                if new.payload == REFUSED:
                    assert isinstance(answer, RejectedData)
                else:
                    assert isinstance(answer, Appended)
                    model.acknowledged.add(append.job_id)

    async def create_with_key(self, new: NewJob, key: IdempotencyKey) -> None:
        """One, by the use case, with an idempotency key."""
        model = self._world.model
        command = CreateJob(new.type, new.priority, new.payload, actor="client", key=key)
        with suppress(Unavailable, KeyReused):
            model.acknowledged.add((await self._creator.create(command)).job_id)

    async def cancel(self, job_id: str) -> None:
        self._world.model.cancels_asked.add(job_id)
        await self._decide(job_id, verbs.request_cancel)

    async def retry(self, job_id: str) -> None:
        await self._decide(job_id, verbs.retry)

    async def _decide(self, job_id: str, verb: Callable[[Job], list[NewEvent]]) -> None:
        """Read, decide, append; read again where somebody was quicker."""
        with suppress(Unavailable, IllegalTransition):
            while job := await self._jobs.find(job_id):
                [answer] = await self._log.append([Append(job_id, job.version, verb(job), "client")])
                if isinstance(answer, Appended):
                    return


class Dispatcher(Process):
    """Its loops, of each one step at a time."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world.clock)
        log = self.gate("log", world.new_log(patience=0.0))
        table = self.gate("table", world.dispatch)
        queue = self.gate("queue", RedisRelayQueue(world.redis))
        feed = self.gate("feed", world.feed)
        consumers = self.gate("consumers", RedisConsumers(world.redis))
        self.relay = Relay(queue=queue, feed=feed, page=3, far_behind=8)
        mend = MendQueue(queue=queue, feed=feed, page=3, min_age_seconds=0)
        wake = WakeDue(waiting=self.gate("waiting", world.dispatch), log=log, actor=name)
        watch = WatchWorkers(
            table=table,
            log=log,
            policy=POLICY,
            actor=name,
            liveness=LIVENESS.total_seconds() + BEAT_EVERY,
            now=lambda: world.clock.seconds,
        )

        async def forget() -> None:
            await consumers.forget(alive=list(await table.counters()))

        self._steps: dict[str, Callable[[], Any]] = {
            "relay": self.relay.step,
            "wake": wake.step,
            "watch": watch.step,
            "mend": mend.step,
            "forget": forget,
        }
        self._running: dict[str, asyncio.Task[Any]] = {}

    def step(self, what: str) -> asyncio.Task[Any]:
        """Begin a step, unless one is under way."""
        task = self._running.get(what)
        if task is None or task.done():
            self._running[what] = task = self.begin(self._steps[what]())
        return task
