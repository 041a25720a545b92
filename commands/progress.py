"""How far running attempts are, as everybody may see it: the newest that each has said, and nothing after its end.

It is no fact about a job, so it is no event, and changes neither the job's version nor any other answer about it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import Struct


class Attempt(NamedTuple):
    """One attempt of a job. Its number tells it from all others, also after a retry by hand."""

    job_id: str
    number: int


class Progress(Struct, frozen=True):
    """What an attempt said last; `reported_at` is when that came to be shown, by the database's clock."""

    attempt: int
    fraction: float  # 0 to 1
    note: str  # may be empty
    reported_at: datetime


class ProgressBoard(Protocol):
    """Where it is shown. Whoever reads from it must know which attempt runs: that of a dead worker stays for a while."""

    async def show(self, said: Mapping[Attempt, tuple[float, str]], *, over: Collection[Attempt]) -> None:
        """Show what these attempts said last, and take down what is shown of those that are over, in one statement.

        What a later attempt of the same job has said stays. Raises Unavailable.
        """

    async def read(self, job_ids: Sequence[str]) -> Mapping[str, Progress]:
        """What is shown of these jobs; those of which there is nothing are left out. Raises Unavailable."""

    async def sweep(self, *, older_than_hours: float) -> int:
        """Take down what was left by attempts that do not run any more; how many. Raises Unavailable."""
