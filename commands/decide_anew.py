"""A command on a job that is there: read it, decide, append; and where the log has moved on meanwhile, read and decide anew."""

from __future__ import annotations

from collections.abc import Callable

from commands.ports import Append, Appended, EventLog, JobReader, RejectedData, Unavailable
from domain.errors import IllegalTransition, JobledgerError
from domain.events import NewEvent, RecordedEvent, traced
from domain.job import Job, commands_allowed, fold

# A job moves on a few times a second at most; whoever loses this often meets a log that refuses what the domain allows.
_TRIES = 20


class NoSuchJob(JobledgerError):
    """No job has this id."""

    code = "no_such_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class StateForbids(JobledgerError):
    """The job's state forbids the command; nothing was done. `allowed`: the commands that it allows now."""

    code = "state_forbids"

    def __init__(self, job: Job, wanted: str) -> None:
        self.allowed = commands_allowed(job.state)
        only = " and ".join(self.allowed) or "nothing"
        super().__init__(f"job {job.id} is {job.state}: cannot {wanted}; allowed is {only}")
        self.job = job
        self.wanted = wanted


class VersionMismatch(JobledgerError):
    """The job is not at a version that the caller wants it to be at; nothing was done."""

    code = "version_mismatch"

    def __init__(self, job: Job, wanted: frozenset[int]) -> None:
        versions = " or ".join(map(str, sorted(wanted))) or "none that there can be"
        super().__init__(f"job {job.id} is at version {job.version}, not at {versions}")
        self.job = job
        self.wanted = wanted


async def decide_anew(
    job_id: str,
    decide: Callable[[Job], list[NewEvent]],
    *,
    actor: str,
    versions: frozenset[int] | None,
    log: EventLog,
    jobs: JobReader,
    trace: str | None = None,
) -> Job:
    """Append what `decide` says of the job as it is, and give the job after that. `versions`: those at which the caller
    wants it to be decided on; None: at any. `trace`: id of the trace that the request belongs to.

    Raises NoSuchJob, VersionMismatch, StateForbids (where `decide` raises IllegalTransition), RejectedData and Unavailable.
    """
    for _ in range(_TRIES):
        job = await jobs.find(job_id)
        if job is None:
            raise NoSuchJob(job_id)
        if versions is not None and job.version not in versions:
            raise VersionMismatch(job, versions)
        try:
            events = traced(decide(job), trace)
        except IllegalTransition as exc:
            raise StateForbids(job, exc.wanted) from exc
        [answer] = await log.append([Append(job_id, expected=job.version, events=events, actor=actor)])
        if isinstance(answer, RejectedData):
            raise answer
        if isinstance(answer, Appended):
            after = fold(
                (
                    RecordedEvent(
                        position=answer.position + offset,
                        job_id=job_id,
                        version=job.version + 1 + offset,
                        event=new.event,
                        content=new.content,
                        actor=actor,
                        recorded_at=answer.recorded_at,
                    )
                    for offset, new in enumerate(events)
                ),
                job,
            )
            assert after is not None
            return after
    raise Unavailable(f"job {job_id} moved on again and again while it was decided on")
