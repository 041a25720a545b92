"""Waits for jobs to end: any number of callers by one listener, and one query a wake-up for all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from msgspec import Struct

from commands.outages import Outages
from commands.ports import JobReader
from domain.errors import LogDamaged, Unavailable
from domain.job import ENDS, Job

WATCH = "watch jobs end"  # what outages know it by
_PAGE = 1000  # events a query
_POLL = 0.25  # seconds: a listening connection can die in silence
_LEAST_PAUSE = 0.02  # seconds between two queries, however often others append
_RETRY = 0.5  # seconds until the next try while the log cannot be read
_AT_ONCE = 4  # looks at single jobs at a time: when a thousand jobs end together, others want to read, too
_LINGER = 5.0  # seconds that it goes on to watch when nobody waits any more


class EndedPage(Struct, frozen=True):
    """Which jobs ended within some positions of the log, and the last of these."""

    position: int
    job_ids: list[str]
    is_full: bool = False  # more may follow at once


class JobEnds(Protocol):
    """The log, as far as it says that jobs end."""

    async def head(self) -> int:
        """The newest position; 0 for an empty log. Raises Unavailable."""

    async def ended_after(self, position: int, *, limit: int) -> EndedPage:
        """What the next events after `position` say, at most `limit` of them. Raises LogDamaged for a gap, Unavailable."""


class WakeUps(Protocol):
    """What says that something was appended."""

    async def wait(self, timeout: float) -> None:
        """Return when something was, at the latest after `timeout` seconds."""


class EndOfJobs:
    """Finds jobs when they have ended. It watches the log only while somebody waits. `listen` begins to hear of appends."""

    def __init__(
        self,
        *,
        jobs: JobReader,
        ends: JobEnds,
        listen: Callable[[], AbstractAsyncContextManager[WakeUps]],
        outages: Outages,
    ) -> None:
        self._jobs = jobs
        self._ends = ends
        self._listen = listen
        self._outages = outages
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._watches = asyncio.Event()  # from some position on
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def find(self, job_id: str, *, within: float) -> Job | None:
        """The job as soon as it has ended, or as it is after `within` seconds; None if there is none. Raises Unavailable."""
        job = await self._find(job_id)
        if job is None or job.state in ENDS or self._is_closed:
            return job
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(ended)
        self._watch()
        try:
            with suppress(TimeoutError):
                deadline = asyncio.get_running_loop().time() + within
                async with asyncio.timeout_at(deadline):
                    await self._watches.wait()
                # It may have ended before the watch began; from then on the watch sees it.
                job = await self._find(job_id)
                if job is None or job.state in ENDS:
                    return job
                async with asyncio.timeout_at(deadline):
                    await ended
        finally:
            waiting = self._waiting[job_id]
            waiting.discard(ended)
            if not waiting:
                del self._waiting[job_id]
        return await self._find(job_id)

    def close(self) -> None:
        """Let everybody go on with what there is, and nobody wait from now on."""
        self._is_closed = True
        self._watches.set()
        self._wake(list(self._waiting))
        if self._task is not None:
            self._task.cancel()

    async def _find(self, job_id: str) -> Job | None:
        async with self._turns:
            return await self._jobs.find(job_id)

    def _wake(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            for ended in self._waiting.get(job_id, ()):
                if not ended.done():
                    ended.set_result(None)

    def _watch(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=WATCH)

    async def _run(self) -> None:
        try:
            async with self._listen() as wake_ups:
                await self._follow(wake_ups)
        finally:
            if not self._is_closed:
                self._watches.clear()

    async def _follow(self, wake_ups: WakeUps) -> None:
        position: int | None = None
        now = asyncio.get_running_loop().time
        wanted_at = now()
        while now() - wanted_at < _LINGER:
            if self._waiting:
                wanted_at = now()
            try:
                if position is None:
                    position = await self._ends.head()
                    self._watches.set()
                page = await self._ends.ended_after(position, limit=_PAGE)
            except (Unavailable, LogDamaged) as exc:
                # Who waits is answered when his time is up, by another look at his job.
                away = exc if isinstance(exc, Unavailable) else Unavailable(str(exc))
                self._outages.failed(away, doing=WATCH)
                await asyncio.sleep(_RETRY)
                continue
            self._outages.succeeded(doing=WATCH)
            position = page.position
            self._wake(page.job_ids)
            if not page.is_full:
                await asyncio.sleep(_LEAST_PAUSE)
                await wake_ups.wait(_POLL)
        self._outages.succeeded(doing=WATCH)
