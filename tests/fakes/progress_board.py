"""How far running attempts are, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from commands.ports import Unavailable
from commands.progress import Attempt, Progress
from domain.job import fold
from tests.fakes.event_log import FakeEventLog


class FakeProgressBoard:
    """Implements commands.progress.ProgressBoard over the jobs of a log. Its clock runs ahead of the log's by `elapsed`.

    `away`: it cannot be reached, as when the log cannot. `shown`: what each call of `show` was given, in order; `asked`: how
    often it was to be read.
    """

    def __init__(self, log: FakeEventLog) -> None:
        self._log = log
        self._rows: dict[str, Progress] = {}
        self.elapsed = timedelta()
        self.shown: list[tuple[dict[Attempt, tuple[float, str]], set[Attempt]]] = []
        self.asked = 0
        self.away = False

    async def show(self, said: Mapping[Attempt, tuple[float, str]], *, over: Collection[Attempt]) -> None:
        """See ProgressBoard.show."""
        self._require_presence()
        self.shown.append((dict(said), set(over)))
        for job_id, number in over:
            if job_id in self._rows and self._rows[job_id].attempt == number:
                del self._rows[job_id]
        for (job_id, number), (fraction, note) in said.items():
            if job_id not in self._rows or self._rows[job_id].attempt <= number:
                self._rows[job_id] = Progress(number, fraction, note, self._log.now + self.elapsed)

    async def read(self, job_ids: Sequence[str]) -> Mapping[str, Progress]:
        """See ProgressBoard.read."""
        self.asked += 1
        self._require_presence()
        return {job_id: self._rows[job_id] for job_id in job_ids if job_id in self._rows}

    async def sweep(self, *, older_than_hours: float) -> int:
        """See ProgressBoard.sweep."""
        self._require_presence()
        before = self._log.now + self.elapsed - timedelta(hours=older_than_hours)
        old = [job_id for job_id, row in self._rows.items() if row.reported_at < before and not self._runs(job_id, row)]
        for job_id in old:
            del self._rows[job_id]
        return len(old)

    def _runs(self, job_id: str, row: Progress) -> bool:
        job = fold([event for event in self._log.events if event.job_id == job_id])
        return job is not None and job.worker is not None and job.attempts == row.attempt

    def _require_presence(self) -> None:
        if self.away or self._log.away:
            raise Unavailable("the database is away", dependency="PostgreSQL")
