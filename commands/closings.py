"""Closes the attempts whose code has ended: all that end in one turn of the event loop share an append.

Each is kept until the log has said what became of it, or until it is no longer this worker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import DEBUG

from commands.attempt import Outcome, Succeeded
from commands.close_attempt import Ended, close_attempts
from commands.measures import AttemptMeasures
from commands.ports import EventLog, Unavailable
from commands.report import Report
from commands.running_attempts import Running, RunningAttempts
from domain.retry import RetryPolicy

_BATCH_BYTES = 4 * 1024 * 1024  # of outcomes; what ends after so many begins an append of its own

_Batch = list[tuple[Running, Ended]]


class Closings:
    """Belongs to one event loop. `pause_after` gives the seconds until the next try, after so many failures in a row."""

    def __init__(
        self,
        *,
        running: RunningAttempts,
        log: EventLog,
        policy: RetryPolicy,
        report: Report,
        measures: AttemptMeasures,
        pause_after: Callable[[int], float],
    ) -> None:
        self._running = running
        self._log = log
        self._policy = policy
        self._report = report
        self._measures = measures
        self._pause_after = pause_after
        self._batch: _Batch | None = None  # what has ended in this turn of the loop
        self._size = 0  # bytes in it
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, running: Running, outcome: Outcome, *, actor: str) -> None:
        """The code of that attempt has ended so; `actor` is the worker that ran it."""
        if self._batch is None or self._size >= _BATCH_BYTES:
            self._batch, self._size = [], 0
            task = asyncio.create_task(self._close(self._batch, actor))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._batch.append((running, Ended(running.job, outcome, running.stopped_for, running.timeout)))
        self._size += len(outcome.result if isinstance(outcome, Succeeded) else outcome.error)

    async def _close(self, batch: _Batch, actor: str) -> None:
        if batch is self._batch:
            self._batch = None  # its turn is over
        now = asyncio.get_running_loop().time()
        self._measures.have_run(((one.job.type, one.job.priority), now - one.begun_at) for one, _ in batch)
        in_detail = self._report.is_enabled_for(DEBUG)
        failures = 0
        while batch := [(running, ended) for running, ended in batch if self._running.is_ours(running)]:
            try:
                answers = await close_attempts(
                    [ended for _, ended in batch], policy=self._policy, actor=actor, log=self._log
                )
            except Unavailable:
                failures += 1
                await asyncio.sleep(self._pause_after(failures))  # the outcomes are kept, and with them the slots
                continue
            again: _Batch = []
            for (running, _), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Ended):
                    again.append((running, answer))
                    continue
                if answer and in_detail:
                    self._report.debug("attempt ended", **(running.context.names() | {"position": answer}))
                elif not answer:
                    self._report.warning("the attempt was no longer ours", **running.context.names())
                self._running.remove(running)
            batch = again
