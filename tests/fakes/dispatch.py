"""What the dispatcher and the heartbeats ask of the database, in memory, over a FakeEventLog: `jobs` is never behind here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from commands.dispatch_ports import DueJobs
from commands.liveness import HeartbeatAnswer, RunningAttempt
from commands.ports import Unavailable
from commands.queue_ports import Source
from domain.events import CancelRequested
from domain.job import Job, fold
from tests.fakes.event_log import FakeEventLog

_SOON = timedelta(seconds=0.25)
_STRAY_AFTER = timedelta(seconds=10)


class FakeDatabase:
    """Implements WaitingJobs, WorkerTable and WorkerRegistry. `now` runs ahead of the log's clock by `elapsed`."""

    def __init__(self, log: FakeEventLog) -> None:
        self.log = log
        self.elapsed = timedelta()
        self.rows: dict[str, int] = {}
        self.claims_from: dict[str, Source | None] = {}

    async def due(self, *, limit: int) -> DueJobs:
        """See WaitingJobs.due."""
        self._require_presence()
        now = self.log.now + self.elapsed
        waiting = sorted((job.due_at, job.id, job) for job in self._jobs() if job.due_at is not None)
        due = [job for due_at, _, job in waiting if due_at <= now]
        soon = [(due_at - now).total_seconds() for due_at, _, _ in waiting if now < due_at <= now + _SOON]
        return DueJobs(due[:limit], soon[0] if soon else None)

    async def counters(self) -> Mapping[str, int]:
        """See WorkerTable.counters."""
        self._require_presence()
        return dict(self.rows)

    async def remove(self, worker: str, *, counter: int) -> bool:
        """See WorkerTable.remove."""
        self._require_presence()
        if self.rows.get(worker) != counter:
            return False
        self.deregister(worker)
        return True

    async def orphans(self, *, limit: int) -> Sequence[Job]:
        """See WorkerTable.orphans."""
        self._require_presence()
        return [job for job in self._jobs() if job.worker is not None and job.worker not in self.rows][:limit]

    def register(self, worker: str) -> None:
        """See WorkerRegistry.register."""
        self._require_presence()
        self.rows.setdefault(worker, 0)
        self.log.workers.add(worker)

    def beat(self, worker: str, running: Sequence[RunningAttempt], *, claims_from: Source | None) -> HeartbeatAnswer:
        """See WorkerRegistry.beat."""
        self._require_presence()
        self.claims_from[worker] = claims_from
        alive = worker in self.rows
        if alive:
            self.rows[worker] += 1
        further = {
            event.job_id: event.event
            for event in self.log.events
            if RunningAttempt(event.job_id, event.version - 1) in running
        }
        ours = {attempt.job_id for attempt in running}
        now = self.log.now + self.elapsed
        return HeartbeatAnswer(
            alive=alive,
            cancelled=[job_id for job_id, event in further.items() if isinstance(event, CancelRequested)],
            closed=[job_id for job_id, event in further.items() if not isinstance(event, CancelRequested)],
            strays=[
                job.id
                for job in self._jobs()
                if job.worker == worker and job.id not in ours and job.updated_at < now - _STRAY_AFTER
            ],
        )

    def deregister(self, worker: str) -> None:
        """See WorkerRegistry.deregister."""
        self._require_presence()
        self.rows.pop(worker, None)
        self.log.workers.discard(worker)

    def close(self) -> None:
        """See WorkerRegistry.close."""

    def _jobs(self) -> list[Job]:
        ids = dict.fromkeys(event.job_id for event in self.log.events)
        folded = [fold([event for event in self.log.events if event.job_id == job_id]) for job_id in ids]
        return [job for job in folded if job is not None]

    def _require_presence(self) -> None:
        if self.log.away:
            raise Unavailable("the database is away", dependency="PostgreSQL")
