"""Retry a job: one that failed or was cancelled lives again, with as many attempts as it had at first."""

from __future__ import annotations

from commands.decide_anew import decide_anew
from commands.ports import EventLog, JobReader
from domain.job import Job, retry
from domain.reason import checked_reason


async def retry_job(
    job_id: str,
    *,
    reason: str | None,
    actor: str,
    log: EventLog,
    jobs: JobReader,
    versions: frozenset[int] | None = None,
    trace: str | None = None,
) -> Job:
    """The job after Queued; attempts number on.

    Raises NoSuchJob, VersionMismatch, StateForbids (it has not ended, or is completed), InvalidReason, Unavailable.
    """
    reason = checked_reason(reason)
    return await decide_anew(
        job_id,
        lambda job: retry(job, reason=reason),
        actor=actor,
        versions=versions,
        log=log,
        jobs=jobs,
        trace=trace,
    )
