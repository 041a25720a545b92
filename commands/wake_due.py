"""Queue the jobs whose time has come. When that is, the database's clock says; no process's own clock decides anything."""

from __future__ import annotations

from commands.dispatch_ports import WaitingJobs
from commands.measures import DURATIONS, Distribution
from commands.ports import Append, Appended, EventLog
from domain.job import wake

PAGE = 1_000  # jobs a step
POLL = 0.1  # seconds between two looks: how late a job may be woken at the most, beside the projector's lag


class WakeDue:
    """Wakes page after page. Remembers what it has woken until `jobs` shows it, so that a lagging projector doubles nothing."""

    def __init__(self, *, waiting: WaitingJobs, log: EventLog, actor: str) -> None:
        self._waiting = waiting
        self._log = log
        self._actor = actor
        self.late = Distribution(DURATIONS)  # seconds from the end of each wait to its Queued, by the database's clock
        self._woken: dict[str, int] = {}  # job id: version of the event that began the wait

    async def step(self) -> float:
        """Wake what is due; answers the seconds to wait before the next step. Raises Unavailable."""
        due = await self._waiting.due(limit=PAGE)
        new = [job for job in due.jobs if self._woken.get(job.id) != job.version]
        if new:
            answers = await self._log.append(
                [Append(job_id=job.id, expected=job.version, events=wake(job), actor=self._actor) for job in new]
            )
            for job, answer in zip(new, answers, strict=True):
                if isinstance(answer, Appended) and job.due_at is not None:
                    self.late.add((answer.recorded_at - job.due_at).total_seconds())
        # What is no longer shown as due has been projected; a conflict means that somebody else was quicker.
        self._woken = {job.id: job.version for job in due.jobs}
        if len(new) == PAGE:
            return 0.0
        return POLL if due.next_in is None else min(POLL, due.next_in)
