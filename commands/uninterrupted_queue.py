"""The reading end of the queue that goes on while the streams cannot be read: then it gives the jobs that `jobs` shows as queued.

Both ways may be gone by several workers at once, since the append of Started decides who owns an attempt. What was claimed
directly still lies in the streams when they return; whoever reads it there is refused by the log, and takes it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from commands.outages import Outages
from commands.ports import QueueEntry, Unavailable
from commands.queue_ports import DIRECTLY, ClaimQueue, QueuedJobs, QueueHead, Source

# Seconds without the streams until this goes around them: a restart of Redis, or one connection that broke, is over before.
PATIENCE = 1.0
OTHERS_AFTER = 0.25  # seconds after which a worker takes what falls to another
POLL_FIRST = 0.02  # seconds between two looks at `jobs` that find nothing, at first
POLL_MOST = 0.25  # and at the most
_PAGE = 1_000  # jobs that one look sees at the most
_SMALL_PAGE = 50  # and at the least
_READ = "read the queue"  # what outages know this by


class UninterruptedQueue:
    """Implements ClaimQueue over the streams, and over `jobs` while those are away. One `read` at a time.

    `pause_after` gives the seconds until the streams are tried again, after so many failures.
    """

    def __init__(
        self, *, streams: ClaimQueue, jobs: QueuedJobs, outages: Outages, pause_after: Callable[[int], float]
    ) -> None:
        self._streams = streams
        self._jobs = jobs
        self._outages = outages
        self._pause_after = pause_after
        self.source: Source = "streams"  # where entries are read from now
        self._reached_at = asyncio.get_running_loop().time()  # when the streams were
        self._failures = 0  # of the streams, in a row
        self._trial: asyncio.Task[list[QueueEntry]] | None = None  # of the streams, beside the claiming
        self._try_at = 0.0
        self._poll = POLL_FIRST
        self._workers = 1
        # What falls to others, by job id and version: when it was first seen.
        self._left_to_others: dict[tuple[str, int], float] = {}

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.read. Raises Unavailable only while `jobs` cannot be read either."""
        if count < 1:
            return []
        if self.source == "streams":
            try:
                entries = await self._streams.read(count, block_seconds)
            except Unavailable as exc:
                self._note_failure(exc)
                if self.source == "streams":
                    await asyncio.sleep(self._pause_after(self._failures))
                return []
            self._note_success()
            return entries
        if (entries_of_trial := self._outcome_of_trial()) is not None:
            return entries_of_trial
        return await self._read_jobs(count, block_seconds)

    async def acknowledge(self, entries: Sequence[QueueEntry]) -> None:
        """See ClaimQueue.acknowledge. What was read from `jobs` is in no stream under that name."""
        if read := [entry for entry in entries if entry.stream != DIRECTLY]:
            await self._streams.acknowledge(read)

    async def park(self, entries: Sequence[QueueEntry]) -> None:
        """See ClaimQueue.park."""
        await self._streams.park(entries)

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.sweep. Nothing while the streams are away: what is pending there is queued in `jobs`."""
        if self.source == "jobs":
            return []
        try:
            entries = await self._streams.sweep(count, min_idle_seconds)
        except Unavailable as exc:
            self._note_failure(exc)
            return []
        self._note_success()
        return entries

    async def aclose(self) -> None:
        """End the trial that may be under way."""
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)

    def _note_failure(self, exc: Unavailable) -> None:
        self._failures += 1
        now = asyncio.get_running_loop().time()
        self._try_at = now + self._pause_after(self._failures)
        away = now - self._reached_at
        if away < PATIENCE:
            return
        self._outages.failed(exc, doing=_READ, lasted=away, meanwhile="jobs are claimed directly from PostgreSQL")
        if self.source == "streams":
            self.source = "jobs"
            self._poll = POLL_FIRST
            self._left_to_others = {}

    def _note_success(self) -> None:
        self.source = "streams"
        self._failures = 0
        self._reached_at = asyncio.get_running_loop().time()
        self._outages.succeeded(doing=_READ)

    def _outcome_of_trial(self) -> list[QueueEntry] | None:
        """Try the streams now and then, beside the claiming, as they may be silent for long; what they gave, if they are back."""
        trial = self._trial
        if trial is None:
            if asyncio.get_running_loop().time() >= self._try_at:
                self._trial = asyncio.create_task(self._streams.read(1, 0.0), name="try the streams")
            return None
        if not trial.done():
            return None
        self._trial = None
        try:
            entries = trial.result()
        except Unavailable as exc:
            self._note_failure(exc)
            return None
        self._note_success()
        return entries

    async def _read_jobs(self, count: int, block_seconds: float) -> list[QueueEntry]:
        limit = min(_PAGE, max(_SMALL_PAGE, 2 * count * self._workers))
        head = await self._jobs.head(limit=limit, wanted=count)
        self._workers = head.workers
        entries = self._chosen(head, count)
        if entries:
            self._poll = POLL_FIRST
            return entries
        await self._wait(min(self._poll, block_seconds))
        self._poll = min(self._poll * 2, POLL_MOST)
        return []

    async def _wait(self, seconds: float) -> None:
        if self._trial is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait([self._trial], timeout=seconds)

    def _chosen(self, head: QueueHead, count: int) -> list[QueueEntry]:
        """What to claim of what all workers see: one's own share first, so that they do not all run for the same.

        High priority goes before all, also what is another's share. Of default priority that is left alone for a while:
        whoever it falls to may just be claiming it, or be busy, or dead.
        """
        high = sorted(head.high, key=lambda entry: not _falls_to(entry, head))  # which keeps their order
        own = [entry for entry in head.default if _falls_to(entry, head)]
        others = [entry for entry in head.default if not _falls_to(entry, head)]
        now = asyncio.get_running_loop().time()
        known = self._left_to_others
        seen_at = {(entry.job_id, entry.version): now for entry in others}
        self._left_to_others = {key: known.get(key, at) for key, at in seen_at.items()}
        given_up = [
            entry for entry in others if now - self._left_to_others[entry.job_id, entry.version] >= OTHERS_AFTER
        ]
        return [*high, *own, *given_up][:count]


def _falls_to(entry: QueueEntry, head: QueueHead) -> bool:
    # The end of a UUID of version 7 is random.
    return int(entry.job_id[-8:], 16) % head.workers == head.rank
