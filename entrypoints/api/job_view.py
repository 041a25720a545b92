"""How a job is shown to clients."""

from __future__ import annotations

from msgspec import UNSET, Raw, UnsetType

from commands.progress import Progress
from domain.job import Job
from domain.moment import timestamp
from entrypoints.api.models import JobView, ProgressView

_NULL = Raw(b"null")


def job_view(job: Job, payload: Raw | UnsetType = UNSET, progress: ProgressView | UnsetType = UNSET) -> JobView:
    """The job as the API tells of it; with its payload and its progress if these are given."""
    return JobView(
        id=job.id,
        type=job.type,
        status=job.status,
        priority=job.priority,
        attempts=job.attempts,
        result=raw(job.result),
        error=raw(job.error),
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        max_attempts=job.max_attempts,
        version=job.version,
        due_at=None if job.due_at is None else timestamp(job.due_at),
        tags=job.tags,
        progress=progress,
        payload=payload,
    )


def progress_view(progress: Progress) -> ProgressView:
    """What an attempt said of how far it is."""
    return ProgressView(progress.attempt, progress.fraction, progress.note, timestamp(progress.reported_at))


def raw(json: bytes | None) -> Raw:
    """JSON as it is kept; null for none."""
    return _NULL if json is None else Raw(json)
