"""The worker: reads entries, claims them in batches, runs their code, closes the attempts.

A job's way: `_take` claims what was read, `Runs` runs its code, `Closings` closes it. While a batch is being claimed,
attempts run, and their closings share the next append.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress

from commands.attempt import AttemptRunner
from commands.claim_jobs import Claims, claim_jobs
from commands.close_lost import close_stray
from commands.closings import Closings
from commands.liveness import HeartbeatAnswer
from commands.measures import AttemptMeasures
from commands.outages import Outages
from commands.ports import EventLog, JobReader, QueueEntry, Unavailable
from commands.queue_ports import ClaimQueue
from commands.report import Report
from commands.running_attempts import RunningAttempts
from commands.runs import Runs
from domain.job_type import JobType
from domain.retry import RetryPolicy

READ_BLOCK = 1.0  # seconds that an idle worker waits in one read; a stop ends the read at once
TICK = 0.05  # seconds between two looks at the deadlines
SWEEP_EVERY = 2.0  # seconds between two looks for entries that a worker read and did not live to claim
SWEEP_IDLE = 5.0  # seconds that such an entry must have been pending: claiming takes far less
REFUSED_PAUSE = (
    0.5  # seconds before the next try of a worker that has no row (any more): a heartbeat comes once a second
)
LONG_CLAIM = 5.0  # seconds without an answer to a claim after which the worker cannot be said to claim
_CLAIM = "claim jobs"  # what outages know this by


class Worker:
    """Runs jobs from `run` until `stop`. Belongs to one event loop; `queue_of` gives the queue's reading end for a name.

    `pause_after` gives the seconds until the next try, after so many failures in a row.
    """

    def __init__(
        self,
        name: str,
        *,
        queue_of: Callable[[str], ClaimQueue],
        log: EventLog,
        jobs: JobReader,
        job_types: Mapping[str, JobType],
        runner: AttemptRunner,
        slots: int,
        default_timeout: float,
        policy: RetryPolicy,
        report: Report,
        outages: Outages,
        pause_after: Callable[[int], float],
    ) -> None:
        self.name = name
        self.running = RunningAttempts(slots=slots)
        self.measures = AttemptMeasures()
        self._runs = Runs(
            running=self.running,
            runner=runner,
            job_types=job_types,
            default_timeout=default_timeout,
            closings=Closings(
                running=self.running,
                log=log,
                policy=policy,
                report=report,
                measures=self.measures,
                pause_after=pause_after,
            ),
            report=report,
        )
        self._queue_of = queue_of
        self._queue = queue_of(name)
        self._log = log
        self._jobs = jobs
        self._job_types = job_types
        self._policy = policy
        self._report = report
        self._outages = outages
        self._pause_after = pause_after
        self._has_claimed = False  # whether the last try to read or claim went well
        self._claiming_since: float | None = None  # of the monotonic clock
        self._claiming: frozenset[str] = frozenset()  # ids of the jobs whose claim has no answer yet
        self._stopping = False
        self._has_ended = asyncio.Event()  # whether `run` has
        self._has_ended.set()
        self._reading: asyncio.Task[list[QueueEntry]] | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._swept_at = 0.0

    async def run(self) -> None:
        """Read, claim and run until `stop`. What runs then is left running: see `finish`."""
        self._has_ended.clear()
        ticking = asyncio.create_task(self._tick(), name="tick")
        failures = 0
        try:
            while not self._stopping:
                try:
                    await self._step()
                except Unavailable as exc:
                    self._has_claimed = False
                    self._outages.failed(exc, doing=_CLAIM)
                    failures += 1
                    await self._pause(self._pause_after(failures))
                else:
                    failures = 0
        finally:
            ticking.cancel()
            self._has_ended.set()

    @property
    def can_claim(self) -> bool:
        """Whether the last try to read and claim went well, and the present one has not waited for long. For any thread."""
        since = self._claiming_since
        return self._has_claimed and (since is None or time.monotonic() - since < LONG_CLAIM)

    def stop(self) -> None:
        """Read no entry from now on. `run` ends soon: once the claim that may be under way has its answer."""
        self._stopping = True
        self._cut_short()
        self.running.wake()

    async def finish(self, *, grace: float) -> bool:
        """After `stop`: let what runs end within `grace` seconds, and release what does not; whether all of it has ended.

        The last fifth of the time is for the released ones: their code is told to stop, and their closing is written. A claim
        that has no answer yet may be in the log: it has not ended.
        """
        ticking = asyncio.create_task(self._tick(), name="tick")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace * 0.8):
                    await self._has_ended.wait()  # what a last claim brings is ours
                    await self.running.wait_until_empty()
            self._runs.release()
            with suppress(TimeoutError):
                async with asyncio.timeout(grace * 0.2):
                    await self._has_ended.wait()
                    await self.running.wait_until_empty()
                    if self._background:
                        await asyncio.wait(self._background)
        finally:
            ticking.cancel()
        return self._has_ended.is_set() and len(self.running) == 0

    def hear(self, answer: HeartbeatAnswer) -> None:
        """Act on what the database said to a heartbeat of this worker."""
        self.running.cancel(answer.cancelled)
        if gone := self.running.abandon(answer.closed):
            self._report.warning("attempts were closed by somebody else", job_ids=gone)
        for job_id in answer.strays:
            # A claim whose answer is still on its way is no stray: it will run.
            if job_id not in self.running and job_id not in self._claiming:
                self._in_background(self._close_stray(job_id))

    def begin_anew(self, name: str) -> None:
        """This worker was given up and is registered again as `name`: what it ran belongs to others now."""
        gone = self.running.abandon_all()
        self._report.warning("given up, beginning anew", was=self.name, abandoned=gone)
        self.name = name
        self._queue = self._queue_of(name)
        if self._reading is not None:
            self._reading.cancel()

    async def _step(self) -> None:
        free = self.running.free
        if free <= 0:
            await self.running.wait_for_change()
            return
        now = asyncio.get_running_loop().time()
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            await self._take(await self._queue.sweep(free, SWEEP_IDLE))
            free = self.running.free
            if free <= 0 or self._stopping:
                return
        # The read alone may be cut short: a claim that is under way must see its answer.
        self._reading = asyncio.create_task(self._queue.read(free, READ_BLOCK))
        try:
            entries = await self._reading
        except asyncio.CancelledError:
            if self._reading.cancelled() and not _is_cancelled():
                return
            raise
        finally:
            self._reading = None
        # What was read before the stop and not claimed stays pending, and another worker sweeps it up.
        if not self._stopping:
            await self._take(entries)
        self._has_claimed = True
        self._outages.succeeded(doing=_CLAIM)

    async def _take(self, entries: Sequence[QueueEntry]) -> None:
        if not entries:
            return
        unknown = [entry for entry in entries if entry.type not in self._job_types]
        known = [entry for entry in entries if entry.type in self._job_types] if unknown else entries
        if known:
            await self._claim(known)
        if unknown:
            await self._queue.park(unknown)

    async def _claim(self, entries: Sequence[QueueEntry]) -> None:
        name, queue = self.name, self._queue
        self._claiming_since = time.monotonic()
        self._claiming = frozenset(entry.job_id for entry in entries)
        try:
            claims = await claim_jobs(entries, worker=name, log=self._log)
        finally:
            self._claiming_since = None
            self._claiming = frozenset()
        self._measure(claims)
        if name == self.name:
            self._runs.start(claims.attempts, worker=name)
        elif claims.attempts:  # given up while the answer was out: who gave it up closes what it owned
            gone = [claimed.job.id for claimed in claims.attempts]
            self._report.warning("what was claimed before beginning anew is not run", was=name, job_ids=gone)
        if claims.settled:
            # After Started is durable, not before: a crash between the two delivers again, and the log refuses the double.
            self._in_background(self._acknowledge(queue, claims.settled))
        if claims.refused:
            await self._pause(REFUSED_PAUSE)  # the heartbeat will hear that this worker was given up

    def _measure(self, claims: Claims) -> None:
        measures = self.measures
        measures.claimed += len(claims.attempts)
        measures.passed += len(claims.settled) - len(claims.attempts)
        measures.refused += len(claims.refused)
        measures.have_waited(
            ((claimed.job.type, claimed.job.priority), claimed.waited)
            for claimed in claims.attempts
            if claimed.waited is not None
        )

    async def _acknowledge(self, queue: ClaimQueue, entries: Sequence[QueueEntry]) -> None:
        # What cannot be acknowledged stays pending; the sweep finds it, and the log says that it was claimed.
        with suppress(Unavailable):
            await queue.acknowledge(entries)

    async def _close_stray(self, job_id: str) -> None:
        with suppress(Unavailable):  # it is heard of again at the next heartbeat
            if await close_stray(job_id, worker=self.name, log=self._log, jobs=self._jobs, policy=self._policy):
                self._report.warning("closed an attempt that was ours and did not run", job_id=job_id)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _pause(self, seconds: float) -> None:
        self._pausing = asyncio.create_task(asyncio.sleep(seconds))
        await asyncio.wait([self._pausing])
        self._pausing = None

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.running.tick(loop.time())
            if self._stopping:
                self._cut_short()
            await asyncio.sleep(TICK)

    def _cut_short(self) -> None:
        # Again and again until it ends: up to Python 3.11, asyncio.wait_for loses a cancellation that comes at the moment in
        # which its work is done (https://github.com/python/cpython/issues/86296), and drivers send their commands in one.
        for waiting in (self._reading, self._pausing):
            if waiting is not None:
                waiting.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
