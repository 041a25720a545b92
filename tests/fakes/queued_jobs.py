"""The jobs that are queued, in memory, over a FakeEventLog: its read side shows the log up to `shown`."""

from __future__ import annotations

from collections.abc import Collection

from commands.ports import QueueEntry, Unavailable
from commands.queue_ports import DIRECTLY, QueueHead
from domain.events import Priority
from domain.job import Job, fold
from tests.fakes.event_log import FakeEventLog


class FakeQueuedJobs:
    """Implements commands.queue_ports.QueuedJobs. `shown`: how many events the read side has seen; None: all."""

    def __init__(self, log: FakeEventLog, *, worker: str, job_types: Collection[str]) -> None:
        self._log = log
        self._worker = worker
        self._types = job_types
        self.shown: int | None = None
        self.looks = 0

    async def head(self, *, limit: int, wanted: int) -> QueueHead:
        """See QueuedJobs.head."""
        self.looks += 1
        if self._log.away:
            raise Unavailable("the log is away", dependency="PostgreSQL")
        workers = sorted({*self._log.workers, self._worker})
        high = self._queued("high")[:limit]
        default = self._queued("default")[:limit] if len(high) < min(limit, wanted) else []
        return QueueHead(high, default, rank=workers.index(self._worker), workers=len(workers))

    def _queued(self, priority: Priority) -> list[QueueEntry]:
        seen = self._log.events[: self.shown]
        folded = [
            fold(e for e in seen if e.job_id == job_id) for job_id in dict.fromkeys(event.job_id for event in seen)
        ]
        jobs = [job for job in folded if job is not None and job.type in self._types and job.priority == priority]
        found = sorted(
            (job.queued_position, job) for job in jobs if job.queued_position is not None and self._is_newest(job)
        )
        return [
            QueueEntry(DIRECTLY, f"{position}-0", job.id, job.version, job.type, job.attempts + 1)
            for position, job in found
        ]

    def _is_newest(self, job: Job) -> bool:
        return job.version == sum(event.job_id == job.id for event in self._log.events)
