"""Cancel a job: at once while nothing of it runs, else by a request that its worker hears of at its next heartbeat."""

from __future__ import annotations

from commands.decide_anew import decide_anew
from commands.ports import EventLog, JobReader
from domain.job import Job, request_cancel
from domain.reason import checked_reason


async def cancel_job(
    job_id: str,
    *,
    reason: str | None,
    actor: str,
    log: EventLog,
    jobs: JobReader,
    versions: frozenset[int] | None = None,
    trace: str | None = None,
) -> Job:
    """The job after Cancelled, or after CancelRequested if it runs: then who closes its attempt writes Cancelled, or
    Completed if the effect was there first.

    Raises NoSuchJob, VersionMismatch, StateForbids (it has ended, or was asked for already), InvalidReason, Unavailable.
    """
    reason = checked_reason(reason)
    return await decide_anew(
        job_id,
        lambda job: request_cancel(job, reason=reason),
        actor=actor,
        versions=versions,
        log=log,
        jobs=jobs,
        trace=trace,
    )
