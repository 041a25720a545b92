"""Retry many jobs that failed: those of a type, since a time, with an error that holds a text; batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from commands.ports import Append, Appended, EventLog
from domain.job import Job, retry
from domain.reason import checked_reason

BATCH = 500  # jobs in one append


class Wish(Struct, frozen=True):
    """Which failed jobs are meant. `type`, `error`: None for any; `error` is a part of the text, in whatever case."""

    since: datetime  # when it failed, by the log's clock, this moment included
    type: str | None = None
    error: str | None = None


class FailedJobs(Protocol):
    """The jobs that have failed and not been retried, as the read table has them: it may lag behind the log."""

    async def count(self, wish: Wish) -> dict[str, int]:
        """How many there are, by type. Raises Unavailable."""

    async def page(self, wish: Wish, *, after: Job | None, limit: int) -> list[Job]:
        """The next ones after that job, by their ids: the oldest first. Raises Unavailable."""


class Retried(Struct):
    """What has become of them so far. `moved_on`: somebody else was quicker, or the read table is behind."""

    retried: int = 0
    moved_on: int = 0


async def retry_failed(
    wish: Wish,
    *,
    failed: FailedJobs,
    log: EventLog,
    actor: str,
    reason: str | None,
    told: Callable[[Retried], None],
) -> Retried:
    """Append Queued to each, `BATCH` at a time, and tell after each batch. None is retried twice, be it that it fails again.

    Raises InvalidReason; Unavailable, after which it may simply be called again: what lives again is not found any more.
    """
    reason = checked_reason(reason)
    so_far = Retried()
    last: Job | None = None
    while page := await failed.page(wish, after=last, limit=BATCH):
        answers = await log.append(
            [Append(job.id, expected=job.version, events=retry(job, reason=reason), actor=actor) for job in page]
        )
        done = sum(isinstance(answer, Appended) for answer in answers)
        so_far.retried += done
        so_far.moved_on += len(page) - done
        last = page[-1]
        told(so_far)
    return so_far
