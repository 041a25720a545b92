"""The jobs that have failed, in memory: a read table over the fake log, which lags behind it once it is refreshed by hand."""

from __future__ import annotations

from collections import Counter

from commands.retry_failed import Wish
from domain.job import Job
from tests.fakes.event_log import FakeEventLog


class FakeFailedJobs:
    """Implements commands.retry_failed.FailedJobs."""

    def __init__(self, log: FakeEventLog) -> None:
        self._log = log
        self._table: list[Job] | None = None

    async def refresh(self) -> None:
        """From here on what the log holds now is shown."""
        self._table = await self._jobs()

    async def count(self, wish: Wish) -> dict[str, int]:
        """See FailedJobs.count."""
        return dict(sorted(Counter(job.type for job in await self._meant(wish)).items()))

    async def page(self, wish: Wish, *, after: Job | None, limit: int) -> list[Job]:
        """See FailedJobs.page."""
        meant = [job for job in await self._meant(wish) if after is None or job.id > after.id]
        return sorted(meant, key=lambda job: job.id)[:limit]

    async def _meant(self, wish: Wish) -> list[Job]:
        return [
            job
            for job in (await self._jobs() if self._table is None else self._table)
            if job.state == "Failed"
            and job.updated_at >= wish.since
            and wish.type in (None, job.type)
            and (wish.error is None or wish.error.lower() in (job.error or b"").decode().lower())
        ]

    async def _jobs(self) -> list[Job]:
        found = [await self._log.find(job_id) for job_id in dict.fromkeys(event.job_id for event in self._log.events)]
        return [job for job in found if job is not None]
