"""A log and its read side in memory, as far as the relay asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from commands.ports import QueueEntry
from commands.queue_ports import BEGINNING, STREAMS, LogEvent, LogPage, Mark, QueuedPage
from domain.events import Created, Event, Queued, RecordedEvent, encode_data, type_name
from domain.job import Job, evolve


class FakeQueueFeed:
    """Implements commands.queue_ports.QueueFeed. `checkpoint` says how far the read side has come; None: to the head."""

    def __init__(self, log_id: str) -> None:
        self.log_id = log_id
        self.events: list[LogEvent] = []
        self.checkpoint: int | None = None
        self._facts: list[RecordedEvent] = []
        self._now = datetime(2026, 1, 1, tzinfo=UTC)  # goes on by a millisecond an event, also over a restore

    def append(self, job_id: str, event: Event) -> int:
        position = len(self.events) + 1
        version = sum(1 for e in self.events if e.job_id == job_id) + 1
        data = encode_data(event).decode() if isinstance(event, (Created, Queued)) else None
        self._now += timedelta(milliseconds=1)
        at = self._now
        self.events.append(LogEvent(position, job_id, version, type_name(event), data, round(at.timestamp() * 1000)))
        self._facts.append(RecordedEvent(position, job_id, version, event, None, "test", at))
        return position

    def restore(self, position: int) -> None:
        """Forget what came after, as a database that is restored to an earlier moment."""
        del self.events[position:], self._facts[position:]

    async def log_page(self, *, begin: int, limit: int) -> LogPage:
        page = [event for event in self.events if event.position >= begin][:limit]
        return LogPage(self.log_id, self.events[-1].position if self.events else 0, page)

    async def queued_page(self, *, after: int, limit: int, min_age_seconds: float = 0.0) -> QueuedPage:
        checkpoint = len(self.events) if self.checkpoint is None else min(self.checkpoint, len(self.events))
        jobs: dict[str, Job] = {}
        for fact in self._facts[:checkpoint]:
            jobs[fact.job_id] = evolve(jobs.get(fact.job_id), fact)
        queued = sorted((job.queued_position, job) for job in jobs.values() if (job.queued_position or 0) > after)
        mark = BEGINNING
        if checkpoint:
            last = self.events[checkpoint - 1]
            mark = Mark(last.position, last.job_id, last.version, last.recorded_ms)
        entries = [
            QueueEntry(STREAMS[job.priority], f"{position}-0", job.id, job.version, job.type, job.attempts + 1)
            for position, job in queued[:limit]
        ]
        return QueuedPage(self.log_id, mark, entries)

    async def still_queued(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        newest = {event.job_id: event.version for event in self.events}
        return [entry for entry in entries if newest.get(entry.job_id) == entry.version]
