"""Looking back over a log in memory, by folding what had happened: the reference for sql/queries/replay_*.sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from domain.errors import LogDamaged
from domain.events import RecordedEvent, encode_data, type_name
from domain.job import Job, fold
from projections.replay import CountPage, Horizon, JobPage, LoggedEvent, StateCount


class FakeReplayLog:
    """Implements projections.replay.ReplayLog. `page`: events of a page, and jobs of one."""

    def __init__(self, log: Sequence[RecordedEvent], *, now: datetime, page: int = 3) -> None:
        self._log = list(log)
        self._now = now
        self._page = page

    async def horizon(self) -> Horizon:
        """See ReplayLog.horizon."""
        newest = self._log[-1] if self._log else None
        return Horizon(
            position=newest.position if newest else 0,
            now=max(self._now, newest.recorded_at) if newest else self._now,
            last_job_id=max((e.job_id for e in self._log), default=None),
        )

    async def position_at(self, time: datetime, *, head: int) -> int:
        """See ReplayLog.position_at."""
        if [e.position for e in self._log[:head]] != list(range(1, head + 1)):
            raise LogDamaged("a gap")
        return max((e.position for e in self._log[:head] if e.recorded_at <= time), default=0)

    async def events(self, first: int, last: int) -> list[LoggedEvent]:
        """See ReplayLog.events."""
        found = [as_logged(e) for e in self._log if first <= e.position <= last]
        return found[: self._page]

    async def counts(self, *, after: str, last: str, position: int) -> CountPage | None:
        """See ReplayLog.counts."""
        page = await self.jobs(after=after, last=last, position=position)
        if page is None:
            return None
        counted = Counter((job.state, job.type, job.priority) for job in page.jobs)
        return CountPage(page.upto, [StateCount(*kind, jobs) for kind, jobs in counted.items()])

    async def jobs(self, *, after: str, last: str, position: int) -> JobPage | None:
        """See ReplayLog.jobs."""
        ids = sorted({e.job_id for e in self._log if after < e.job_id <= last})[: self._page]
        if not ids:
            return None
        then = (fold(e for e in self._log if e.job_id == job_id and e.position <= position) for job_id in ids)
        jobs: list[Job] = [job for job in then if job is not None]
        return JobPage(ids[-1], jobs)


def as_logged(recorded: RecordedEvent) -> LoggedEvent:
    """The event as it is stored."""
    return LoggedEvent(
        position=recorded.position,
        job_id=recorded.job_id,
        version=recorded.version,
        type=type_name(recorded.event),
        data=encode_data(recorded.event),
        content=recorded.content,
        actor=recorded.actor,
        recorded_at=recorded.recorded_at,
    )
