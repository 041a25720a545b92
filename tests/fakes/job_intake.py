"""The service's intake of many jobs, in memory: one job a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from commands.ports import Unavailable
from commands.submit_jobs import BatchTooLarge, IntakeAnswer


class FakeJobIntake:
    """Implements commands.submit_jobs.JobIntake. `jobs` holds what it took, by key.

    `away`: requests that find nobody; `loses_answers`: requests that are done and not answered; `most`: jobs in a request.
    """

    def __init__(
        self,
        *,
        refuses: Callable[[bytes], bool] = lambda _: False,
        away: int = 0,
        loses_answers: int = 0,
        most: int = 10_000,
    ) -> None:
        self.jobs: dict[str, bytes] = {}
        self.batches: list[list[bytes]] = []
        self._refuses = refuses
        self._away = away
        self._loses_answers = loses_answers
        self._most = most

    def post(self, jobs: Sequence[bytes]) -> list[IntakeAnswer]:
        """See JobIntake.post."""
        if self._away:
            self._away -= 1
            raise Unavailable("nobody is there", retry_after=0)
        if len(jobs) > self._most:
            raise BatchTooLarge("too many")
        self.batches.append(list(jobs))
        answers = [self._take(job) for job in jobs]
        if self._loses_answers:
            self._loses_answers -= 1
            raise Unavailable("no answer", retry_after=0)
        return answers

    def _take(self, job: bytes) -> IntakeAnswer:
        if self._refuses(job):
            return IntakeAnswer(problem="is refused")
        key = json.loads(job).get("idempotencyKey") or f"unkeyed {len(self.jobs)}"
        if key in self.jobs:
            return IntakeAnswer(replayed=True) if self.jobs[key] == job else IntakeAnswer(problem="another body")
        self.jobs[key] = job
        return IntakeAnswer()
