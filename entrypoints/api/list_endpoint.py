"""The endpoint GET /jobs: pages of jobs, newest first."""

from __future__ import annotations

from litestar.types import Receive, Scope
from msgspec import Raw

from commands.list_jobs import JobLister
from domain.job import Job
from domain.moment import timestamp
from entrypoints.api.answers import Answer, json_answer
from entrypoints.api.list_query import read_list_query
from entrypoints.api.models import JobList, JobSummary


class ListEndpoint:
    """It takes the raw request, and answers or raises what becomes a problem document."""

    def __init__(self, lists: JobLister) -> None:
        self._lists = lists

    async def list(self, scope: Scope, receive: Receive) -> Answer:
        """GET /jobs."""
        query = read_list_query(scope["query_string"])
        page = await self._lists.page(query.wanted, cursor=query.cursor, limit=query.limit)
        jobs = [_summary(job) for job in page.jobs]
        if page.cursor is None:
            return json_answer(JobList(jobs, None))
        path = query.path_of(page.cursor)
        return json_answer(JobList(jobs, path), headers=[(b"link", f'<{path}>; rel="next"'.encode("ascii"))])


def _summary(job: Job) -> JobSummary:
    return JobSummary(
        id=job.id,
        type=job.type,
        status=job.status,
        priority=job.priority,
        attempts=job.attempts,
        error=Raw(b"null" if job.error is None else job.error),
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        max_attempts=job.max_attempts,
        version=job.version,
        due_at=None if job.due_at is None else timestamp(job.due_at),
        tags=job.tags,
    )
