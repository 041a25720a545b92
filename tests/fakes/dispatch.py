"""What the dispatcher, the heartbeats and the watchers ask of the database, in memory, over a FakeEventLog.

`jobs` is never behind here, but for what `checkpoint` says of it to watchers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from commands.dispatch_ports import DueJobs
from commands.health import NOTHING_KNOWN, Health, WorkerBeat
from commands.liveness import HeartbeatAnswer, RunningAttempt
from commands.ports import Unavailable
from commands.queue_ports import Source
from domain.events import CancelRequested
from domain.job import Job, fold
from tests.fakes.event_log import FakeEventLog

_SOON = timedelta(seconds=0.25)
_STRAY_AFTER = timedelta(seconds=10)


_LEASE = timedelta(seconds=5)
_NEVER = datetime.min.replace(tzinfo=UTC)


class FakeDatabase:
    """Implements WaitingJobs, WorkerTable, WorkerRegistry, ExpiredKeys and HealthReader.

    Its clock runs ahead of the log's by `elapsed`. `checkpoint`: how far the read side has come, for watchers; `fits`: whether
    the schema does.
    """

    def __init__(self, log: FakeEventLog) -> None:
        self.log = log
        self.elapsed = timedelta()
        self.checkpoint = 0
        self.fits = True
        self.lease = _Lease()
        self.rows: dict[str, int] = {}
        self.claims_from: dict[str, Source | None] = {}

    async def due(self, *, limit: int) -> DueJobs:
        """See WaitingJobs.due."""
        self._require_presence()
        now = self.now
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
        now = self.now
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

    async def sweep(self, *, older_than_hours: float) -> int:
        """See ExpiredKeys.sweep."""
        self._require_presence()
        return self.log.forget_keys(before=self.now - timedelta(hours=older_than_hours))

    async def read(self) -> Health:
        """See HealthReader.read."""
        self._require_presence()
        if not self.fits:
            return NOTHING_KNOWN
        unseen = self.log.events[self.checkpoint :]
        lease = self.lease
        has_reported = lease.reported_at > _NEVER
        return Health(
            schema_fits=True,
            head=len(self.log.events),
            projected=self.checkpoint,
            projection_age=(self.now - unseen[0].recorded_at).total_seconds() if unseen else None,
            relayed=lease.relayed_position,
            dispatcher=lease.holder if lease.expires_at > self.now else None,
            redis_state=lease.redis_state,
            redis_reported_at=lease.reported_at if has_reported else None,
            redis_report_age=(self.now - lease.reported_at).total_seconds() if has_reported else None,
            workers=len(self.rows),
            workers_direct=sum(self.claims_from.get(worker) == "jobs" for worker in self.rows),
            workers_unable=sum(self.claims_from.get(worker) is None for worker in self.rows),
        )

    async def workers(self) -> Mapping[str, WorkerBeat]:
        """See HealthReader.workers."""
        self._require_presence()
        return {worker: WorkerBeat(counter, self.claims_from.get(worker)) for worker, counter in self.rows.items()}

    @property
    def now(self) -> datetime:
        """The database's clock."""
        return self.log.now + self.elapsed

    def _jobs(self) -> list[Job]:
        ids = dict.fromkeys(event.job_id for event in self.log.events)
        folded = [fold([event for event in self.log.events if event.job_id == job_id]) for job_id in ids]
        return [job for job in folded if job is not None]

    def _require_presence(self) -> None:
        if self.log.away:
            raise Unavailable("the database is away", dependency="PostgreSQL")


@dataclass
class _Lease:
    holder: str | None = None
    expires_at: datetime = _NEVER
    relayed_position: int = 0
    redis_state: str = "unknown"
    reported_at: datetime = _NEVER


class FakeLease:
    """Implements Lease, for one dispatcher of several."""

    def __init__(self, database: FakeDatabase, *, holder: str) -> None:
        self._database = database
        self._holder = holder

    async def hold(self, *, relayed_position: int, redis_state: str) -> bool:
        """See Lease.hold."""
        self._database._require_presence()
        lease, now = self._database.lease, self._database.now
        if lease.holder != self._holder and now <= lease.expires_at <= now + _LEASE:
            return False
        self._database.lease = _Lease(self._holder, now + _LEASE, relayed_position, redis_state, now)
        return True

    async def give_up(self) -> None:
        """See Lease.give_up."""
        self._database._require_presence()
        if self._database.lease.holder == self._holder:
            self._database.lease.expires_at = _NEVER
