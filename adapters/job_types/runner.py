"""Runs attempts where their job types want it: in the event loop, in a thread, or in a process of their own."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from adapters.job_types.attempt_messages import Start
from adapters.job_types.batches import run_batch_async, run_batch_plain
from adapters.job_types.code import prepare, run_async, run_plain
from adapters.job_types.own_process import run_in_own_process
from commands.attempt import AttemptContext, Outcome, Stopped
from domain.errors import UnknownJobType
from domain.job_type import JobType

OutcomeT = TypeVar("OutcomeT")

_NEVER_BEGAN = Stopped(b'"told to stop before a thread was free"')


class JobTypeRunner:
    """The AttemptRunner of a worker. Starts no task, timer or thread for code that runs in the loop."""

    def __init__(
        self,
        job_types: Mapping[str, JobType],
        *,
        threads: Executor,
        settings: Mapping[str, Any],
        result_max_bytes: int,
        kill_after: float,
    ) -> None:
        """`threads` must have a thread for each attempt that may run at once: each process has one that waits for it.

        `settings` are what `load_job_types` was given; a process of its own loads its job type anew. `kill_after`: seconds
        that such a process has after it was told to stop. Raises UnusableJobType.
        """
        self._codes = {name: prepare(job_type) for name, job_type in job_types.items()}
        self._threads = threads
        self._settings = dict(settings)
        self._result_max_bytes = result_max_bytes
        self._kill_after = kill_after

    async def run(self, job_type: str, payload: bytes, context: AttemptContext, *, isolated: bool = False) -> Outcome:
        """See AttemptRunner.run."""
        code = self._codes.get(job_type)
        if code is None:
            raise UnknownJobType(job_type, sorted(self._codes))
        if isolated or code.runs_in == "process":
            start = self._start(job_type, payload, context)
            return await self._in_thread(
                lambda: run_in_own_process(start, context, kill_after=self._kill_after), [context], _NEVER_BEGAN
            )
        limit = self._result_max_bytes
        if code.batch > 1:
            [outcome] = await self.run_batch(job_type, [payload], [context])
            return outcome
        if code.runs_in == "thread":
            return await self._in_thread(
                lambda: run_plain(code, payload, context, result_max_bytes=limit), [context], _NEVER_BEGAN
            )
        return await run_async(code, payload, context, result_max_bytes=limit)

    async def run_batch(
        self, job_type: str, payloads: Sequence[bytes], contexts: Sequence[AttemptContext]
    ) -> list[Outcome]:
        """See AttemptRunner.run_batch."""
        code, limit = self._codes[job_type], self._result_max_bytes
        if code.runs_in == "thread":
            return await self._in_thread(
                lambda: run_batch_plain(code, payloads, contexts, result_max_bytes=limit),
                contexts,
                [_NEVER_BEGAN] * len(contexts),
            )
        return await run_batch_async(code, payloads, contexts, result_max_bytes=limit)

    async def _in_thread(
        self, call: Callable[[], OutcomeT], contexts: Sequence[AttemptContext], never_began: OutcomeT
    ) -> OutcomeT:
        work = self._threads.submit(call)
        waiting = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            told = all(context.should_stop for context in contexts)
            for context in contexts:
                context.stop()
            if work.cancel() and told:
                return never_began
            # The thread cannot be interrupted; until its code has ended the attempt is not over. A second cancellation
            # comes out of here, and the thread runs on.
            outcome = await asyncio.shield(waiting)
            if told:
                return outcome
            raise

    def _start(self, job_type: str, payload: bytes, context: AttemptContext) -> Start:
        return Start(
            job_type=job_type,
            payload=payload,
            job_id=context.job_id,
            attempt=context.attempt,
            created_at=context.created_at,
            position=context.position,
            trace_id=context.trace_id,
            settings=self._settings,
            result_max_bytes=self._result_max_bytes,
            log_level=logging.getLogger("jobledger.job").getEffectiveLevel(),
            import_path=list(sys.path),
        )
