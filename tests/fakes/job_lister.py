"""Lists of jobs out of the log in memory, which do not lag."""

from __future__ import annotations

from msgspec.structs import replace

from commands.list_jobs import JobFilter, JobPage
from commands.ports import Unavailable
from domain.job import Job, fold
from tests.fakes.event_log import FakeEventLog


class FakeJobLister:
    """Implements commands.list_jobs.JobLister. `examined`: how many jobs a page may look at."""

    def __init__(self, log: FakeEventLog, *, examined: int = 10_000) -> None:
        self._log = log
        self._examined = examined

    async def page(self, wanted: JobFilter, *, cursor: str | None, limit: int) -> JobPage:
        """See JobLister.page."""
        ids = sorted({event.job_id for event in self._log.events}, reverse=True)
        if self._log.away:
            raise Unavailable("the log is away", dependency="PostgreSQL")
        found: list[Job] = []
        last = cursor
        for number, job_id in enumerate([id for id in ids if cursor is None or id < cursor]):
            if number == self._examined:
                return JobPage(found, last)
            last = job_id
            job = fold(await self._log.history(job_id))
            assert job is not None
            if not _fits(job, wanted):
                continue
            if len(found) == limit:
                return JobPage(found, found[-1].id)
            found.append(replace(job, result=None))
        return JobPage(found, None)


def _fits(job: Job, wanted: JobFilter) -> bool:
    return (
        wanted.status in (None, job.status)
        and wanted.type in (None, job.type)
        and wanted.priority in (None, job.priority)
        and (wanted.tag is None or wanted.tag in job.tags)
        and (wanted.created_after is None or job.created_at >= wanted.created_after)
        and (wanted.created_before is None or job.created_at < wanted.created_before)
    )
