"""Close what dead workers left: an attempt whose worker has no row (any more) is lost, and counts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from commands.ports import Append, Appended, EventLog, JobReader
from domain.job import Job, lose
from domain.retry import RetryPolicy

_ERROR = msgspec.json.encode("the worker was lost while it ran this attempt")


async def close_lost(jobs: Sequence[Job], *, actor: str, log: EventLog, policy: RetryPolicy) -> list[Job]:
    """Close the running attempt of each job as lost, in one append; answers those that were closed by this.

    A conflict means that the worker was quicker, or that `jobs` lags: nothing to do. Raises Unavailable.
    """
    if not jobs:
        return []
    answers = await log.append(
        [
            Append(job_id=job.id, expected=job.version, events=lose(job, policy=policy, error=_ERROR), actor=actor)
            for job in jobs
        ]
    )
    return [job for job, answer in zip(jobs, answers, strict=True) if isinstance(answer, Appended)]


async def close_stray(job_id: str, *, worker: str, log: EventLog, jobs: JobReader, policy: RetryPolicy) -> bool:
    """Close an attempt that the log says `worker` runs, though it does not; the worker itself says so. Raises Unavailable."""
    job = await jobs.find(job_id)
    if job is None or job.worker != worker:
        return False
    return bool(await close_lost([job], actor=worker, log=log, policy=policy))
