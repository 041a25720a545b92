"""Runs the code of attempts that were claimed, one by one or many in a call, and hands what became of each to the closings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from logging import DEBUG

import msgspec

from commands.attempt import AttemptContext, AttemptRunner, Errored, Outcome, Stopped
from commands.claim_jobs import ClaimedAttempt
from commands.closings import Closings
from commands.report import Report
from commands.running_attempts import Running, RunningAttempts
from domain.job_type import JobType

_NEVER_BEGAN = Stopped(msgspec.json.encode("stopped before it began"))

_Member = tuple[Running, ClaimedAttempt]


class Runs:
    """Belongs to one event loop. `default_timeout`: the seconds of an attempt for which nobody set any."""

    def __init__(
        self,
        *,
        running: RunningAttempts,
        runner: AttemptRunner,
        job_types: Mapping[str, JobType],
        default_timeout: float,
        closings: Closings,
        report: Report,
    ) -> None:
        self._running = running
        self._runner = runner
        self._job_types = job_types
        self._default_timeout = default_timeout
        self._closings = closings
        self._report = report
        self._releasing = False  # from when on nothing may begin any more

    def start(self, attempts: Sequence[ClaimedAttempt], *, worker: str) -> None:
        """Run each; its slot is taken at once. What of one type came together is run together, if the type takes batches."""
        batches: dict[str, list[_Member]] = {}
        in_detail = self._report.is_enabled_for(DEBUG)
        for claimed in attempts:
            job_type = self._job_types[claimed.job.type]
            running = self._add(claimed, job_type)
            if in_detail:
                self._report.debug("attempt started", **running.context.names(), type=job_type.name)
            if job_type.batch > 1 and not claimed.isolated:
                batches.setdefault(job_type.name, []).append((running, claimed))
            else:
                running.task = asyncio.create_task(self._run(running, claimed, worker))
        for name, members in batches.items():
            size = self._job_types[name].batch
            for first in range(0, len(members), size):
                self._start_batch(name, members[first : first + size], worker)
        if self._releasing:
            self._running.stop_all("released")

    def release(self) -> None:
        """Tell whatever runs to stop and give its attempt back; what is started later does not begin."""
        self._releasing = True
        self._running.stop_all("released")

    def _add(self, claimed: ClaimedAttempt, job_type: JobType) -> Running:
        job = claimed.job
        timeout = claimed.timeout or job_type.timeout or self._default_timeout
        context = AttemptContext(
            job.id, job.attempts, job.created_at, position=claimed.position, trace_id=claimed.trace
        )
        running = Running(job, context, timeout=timeout, now=asyncio.get_running_loop().time())
        self._running.add(running)
        return running

    async def _run(self, running: Running, claimed: ClaimedAttempt, worker: str) -> None:
        if not running.begin():
            self._close(running, _NEVER_BEGAN, worker)
            return
        try:
            outcome = await self._runner.run(
                claimed.job.type, claimed.payload, running.context, isolated=claimed.isolated
            )
        except asyncio.CancelledError:
            self._forget([running])
            raise
        except BaseException as exc:  # noqa: BLE001 - whatever it is, an attempt that is not closed would be stuck for ever
            outcome = self._broken_off([running], exc)
        self._close(running, outcome, worker)

    def _start_batch(self, name: str, members: Sequence[_Member], worker: str) -> None:
        shared = _SharedTask()
        for running, _ in members:
            running.task = shared
        shared.task = asyncio.create_task(self._run_batch(name, members, shared, worker))

    async def _run_batch(self, name: str, members: Sequence[_Member], shared: _SharedTask, worker: str) -> None:
        begun: list[_Member] = []
        for running, claimed in members:
            if running.begin():
                begun.append((running, claimed))
            else:
                self._close(running, _NEVER_BEGAN, worker)
        shared.shares = len(begun)
        attempts = [running for running, _ in begun]
        try:
            outcomes = await self._runner.run_batch(
                name, [claimed.payload for _, claimed in begun], [running.context for running in attempts]
            )
        except asyncio.CancelledError:
            self._forget(attempts)
            raise
        except BaseException as exc:  # noqa: BLE001 - as above
            outcomes = [self._broken_off(attempts, exc)] * len(attempts)
        for running, outcome in zip(attempts, outcomes, strict=True):
            self._close(running, outcome, worker)

    def _broken_off(self, attempts: Sequence[Running], exc: BaseException) -> Errored:
        """The runner itself could not go on, as when there is no further thread; or it was closed under its own feet.

        That is what GeneratorExit does where a task that the code waited for ends with it: the event loop throws it into the
        outermost coroutine, here, and everything within is closed.
        """
        for running in attempts:
            self._report.warning("an attempt broke off", **running.context.names(), error=type(exc).__name__)
        said = type(exc).__name__ if isinstance(exc, GeneratorExit) else f"{type(exc).__name__}: {exc}"
        return Errored(msgspec.json.encode(f"the attempt broke off: {said}"))

    def _forget(self, attempts: Sequence[Running]) -> None:
        """The loop itself ends: nothing of them is recorded here."""
        for running in attempts:
            running.code_ended()
            self._running.free_slot()

    def _close(self, running: Running, outcome: Outcome, worker: str) -> None:
        running.code_ended()
        self._running.free_slot()
        if self._running.is_ours(running):
            self._closings.add(running, outcome, actor=worker)


class _SharedTask:
    """The task that runs the code of many attempts: it is cancelled when each of them has been told to stop."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.shares = 0

    def cancel(self) -> None:
        """One of them has."""
        self.shares -= 1
        if self.shares == 0 and self.task is not None:
            self.task.cancel()
