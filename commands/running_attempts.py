"""The attempts that one worker runs: how many more fit, which are overdue, and why one was told to stop.

Not here: what becomes of an attempt in the log (closings), and reading the queue (worker).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Literal, Protocol

from msgspec.structs import replace

from commands.attempt import AttemptContext
from commands.close_attempt import StopReason
from commands.liveness import RunningAttempt
from commands.progress import Attempt
from domain.job import Job


class Cancellable(Protocol):
    """A task, or a share in one."""

    def cancel(self) -> object: ...


class Running:
    """One attempt from its Started until its closing is in the log."""

    __slots__ = ("_phase", "context", "deadline", "job", "stopped_at", "stopped_for", "task", "timeout")

    def __init__(self, job: Job, context: AttemptContext, *, timeout: float, now: float) -> None:
        self.job = job
        self.context = context
        self.timeout = timeout  # seconds
        self.deadline = now + timeout  # of the loop's clock
        self.stopped_for: StopReason | None = None
        self.stopped_at = 0.0  # of the monotonic clock
        self.task: Cancellable | None = None  # that runs the code
        self._phase: Literal["waiting", "running", "closing"] = "waiting"

    @property
    def begun_at(self) -> float:
        """When its slot was taken, of the loop's clock."""
        return self.deadline - self.timeout

    @property
    def is_closing(self) -> bool:
        """Whether the code has ended and only the closing is under way."""
        return self._phase == "closing"

    def begin(self) -> bool:
        """The task has its first turn; whether the code may begin (False: it was told to stop before)."""
        self._phase = "running"
        return self.stopped_for is None

    def stop(self, reason: StopReason) -> None:
        """Tell the code to stop, once; the first reason counts. A code that has ended is past stopping."""
        if self.stopped_for is not None or self.is_closing:
            return
        self.stopped_for = reason
        self.stopped_at = time.monotonic()
        self.context.stop()
        # A task that had no turn yet must not be cancelled: it would never run, and nobody would close the attempt.
        if self._phase == "running" and self.task is not None:
            self.task.cancel()

    def code_ended(self) -> None:
        """From here on there is nothing to stop."""
        self._phase = "closing"


class RunningAttempts:
    """At most `slots` attempts whose code runs, and as many again whose closing is being written."""

    def __init__(self, *, slots: int) -> None:
        self._slots = slots
        self.ticked_at = time.monotonic()  # when the event loop was last seen alive
        self._busy = 0  # attempts whose code runs
        self._running: dict[str, Running] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._running

    @property
    def busy(self) -> int:
        """Attempts whose code runs."""
        return self._busy

    @property
    def slots(self) -> int:
        """How many may run at a time."""
        return self._slots

    @property
    def free(self) -> int:
        """How many more attempts may be claimed now."""
        return min(self._slots - self._busy, 2 * self._slots - len(self._running))

    def add(self, running: Running) -> None:
        """Take a slot."""
        self._running[running.job.id] = running
        self._busy += 1

    def free_slot(self) -> None:
        """The code of one attempt has ended."""
        self._busy -= 1
        self._changed.set()

    def remove(self, running: Running) -> None:
        """The closing of an attempt is settled."""
        # After a worker was given up, its successor may run the very job again.
        if self._running.get(running.job.id) is running:
            del self._running[running.job.id]
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Return when a slot was freed or an attempt was settled since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Let who waits for a change look anew."""
        self._changed.set()

    async def wait_until_empty(self) -> None:
        """Return when every attempt is settled."""
        while self._running:
            await self.wait_for_change()

    @property
    def longest_timeout(self) -> float:
        """Seconds that the longest of the attempts running now may take; 0 if none runs. For any thread."""
        return max((running.timeout for running in list(self._running.values())), default=0.0)

    def that_do_not_end(self, grace: float) -> list[str]:
        """The jobs whose code was told to stop, and has gone on since for as long as it had in all and for `grace` seconds."""
        now = time.monotonic()
        return [
            running.job.id
            for running in self._running.values()
            if running.stopped_for is not None
            and not running.is_closing
            and now - running.stopped_at > running.timeout + grace
        ]

    def tick(self, now: float) -> None:
        """Stop what has run longer than it may. `now` is of the loop's clock, and proof that the loop lives."""
        self.ticked_at = time.monotonic()
        for running in list(self._running.values()):
            if running.deadline <= now:
                running.stop("timeout")

    def stop_all(self, reason: StopReason) -> None:
        """Stop whatever still runs."""
        for running in list(self._running.values()):
            running.stop(reason)

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Somebody asked to cancel these jobs: note it, so that the closing follows the request, and stop them."""
        for job_id in job_ids:
            running = self._running.get(job_id)
            if running is not None and running.job.state == "Started":
                running.job = replace(running.job, version=running.job.version + 1, state="CancelRequested")
                running.stop("cancelled")

    def abandon(self, job_ids: Iterable[str]) -> list[str]:
        """These attempts are no longer ours: stop their code, and record nothing of it. Answers which still ran."""
        gone = []
        for job_id in job_ids:
            running = self._running.get(job_id)
            if running is not None and not running.is_closing:  # a closing finds out by itself
                del self._running[job_id]
                running.stop("released")
                gone.append(job_id)
        self._changed.set()
        return gone

    def abandon_all(self) -> list[str]:
        """This worker was given up: nothing that it runs is its own any more. Answers which still ran."""
        gone = self.abandon(list(self._running))
        self._running.clear()
        return gone

    def is_ours(self, running: Running) -> bool:
        """Whether this attempt's outcome may still be recorded."""
        return self._running.get(running.job.id) is running

    def snapshot(self) -> list[RunningAttempt]:
        """What a heartbeat says; may be called from another thread."""
        return [RunningAttempt(running.job.id, running.job.version) for running in list(self._running.values())]

    def progress(self) -> dict[Attempt, tuple[float, str]]:
        """What each attempt said last of how far it is; those that never said anything are left out."""
        return {
            Attempt(running.job.id, running.context.attempt): running.context.latest_progress
            for running in self._running.values()
            if running.context.latest_progress is not None
        }
