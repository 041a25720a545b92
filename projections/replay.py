"""Looking back over the whole log: its events, how many jobs stood where at a moment, and each job's state then.

Everything goes by pages, each a short question of its own, so nothing is held for long on either side. What makes this safe on a
running system: the position is fixed at the start, and what is at or below a position never changes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from domain.errors import LogDamaged, UnknownEventType
from domain.job import STATUS_AFTER, Job, Status
from domain.moment import BeyondHead, Moment

_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"

At = TypeVar("At")
Page = TypeVar("Page")


class Horizon(Struct, frozen=True):
    """How far the log reaches: fixed once, at the start of looking back."""

    position: int  # of the newest event; 0: the log is empty
    now: datetime  # up to here the past is known: the database's clock
    last_job_id: str | None  # the greatest id of all jobs; None: the log is empty


class LoggedEvent(Struct, frozen=True):
    """An event exactly as it is stored. Its type may be one that this release does not know: nothing is read into it."""

    position: int
    job_id: str
    version: int
    type: str
    data: bytes  # JSON
    content: bytes | None  # JSON
    actor: str
    recorded_at: datetime


class Kind(Struct, frozen=True, order=True):
    """What jobs are counted by."""

    status: Status
    type: str
    priority: str


class StateCount(Struct, frozen=True):
    """So many jobs whose newest event was a `state`."""

    state: str
    type: str
    priority: str
    jobs: int


class CountPage(Struct, frozen=True):
    """The jobs after one id and up to `upto`; some of them may not have been there yet."""

    upto: str
    counts: Sequence[StateCount]


class JobPage(Struct, frozen=True):
    """The same, as the jobs themselves, in the order of their ids."""

    upto: str
    jobs: Sequence[Job]


class ReplayLog(Protocol):
    """What looking back asks of the log. Each call is one short statement. All raise Unavailable."""

    async def horizon(self) -> Horizon:
        """How far the log reaches now."""

    async def position_at(self, time: datetime, *, head: int) -> int:
        """The last position up to `head` whose event was recorded at `time` or before; 0 if there is none.

        Raises LogDamaged where the search meets a position without an event.
        """

    async def events(self, first: int, last: int) -> list[LoggedEvent]:
        """The next events from `first` on, up to `last`, in order: at least one if there is any, and never too many to hold."""

    async def counts(self, *, after: str, last: str, position: int) -> CountPage | None:
        """Count the next jobs by their ids, as of a position; None if no job lies after `after` and up to `last`."""

    async def jobs(self, *, after: str, last: str, position: int) -> JobPage | None:
        """The next jobs by their ids, as of a position; None as above. Never too many to hold."""


async def position_of(log: ReplayLog, moment: Moment, horizon: Horizon) -> int:
    """The position at which the log stood at that moment. Raises BeyondHead, LogDamaged, Unavailable."""
    if isinstance(moment, int):
        if moment > horizon.position:
            raise BeyondHead(moment, position=horizon.position, now=horizon.now)
        return moment
    if moment > horizon.now:
        raise BeyondHead(moment, position=horizon.position, now=horizon.now)
    return await log.position_at(moment, head=horizon.position)


async def first_position_of(log: ReplayLog, moment: Moment, horizon: Horizon) -> int:
    """The position of the first event at or after that moment: of a time, the first recorded then or later; one beyond the
    newest event if there is none. Raises BeyondHead, LogDamaged, Unavailable."""
    position = await position_of(log, moment, horizon)
    if isinstance(moment, int):
        return position
    earliest = datetime.min.replace(tzinfo=moment.tzinfo)
    before = max(moment, earliest + timedelta.resolution) - timedelta.resolution
    return await log.position_at(before, head=position) + 1


async def replay_events(log: ReplayLog, *, first: int, last: int) -> AsyncGenerator[list[LoggedEvent], None]:
    """All events from `first` to `last`, in order, page by page. Raises LogDamaged at the first gap; Unavailable."""

    def after(page: list[LoggedEvent]) -> int | None:
        return page[-1].position + 1 if page and page[-1].position < last else None

    if first > last:
        return
    async with aclosing(_read_ahead(lambda position: log.events(position, last), first, after)) as pages:
        async for page in pages:
            whole = next((n for n, event in enumerate(page) if event.position != first + n), len(page))
            if whole:
                yield page[:whole]
            first += whole
            if whole < len(page) or not page:
                raise LogDamaged(f"the log has a gap: there is no event at position {first}")


async def count_jobs(log: ReplayLog, *, position: int, horizon: Horizon) -> Mapping[Kind, int]:
    """How many jobs stood where, at a position. Raises UnknownEventType, Unavailable."""
    counted: Counter[Kind] = Counter()
    last = horizon.last_job_id or _BEFORE_ALL

    async def read(after: str) -> CountPage | None:
        return await log.counts(after=after, last=last, position=position)

    async with aclosing(_read_ahead(read, _BEFORE_ALL, _upto)) as pages:
        async for page in pages:
            for found in page.counts if page else ():
                kind = Kind(_status_after(found.state), found.type, found.priority)
                counted[kind] += found.jobs
    return counted


async def past_jobs(log: ReplayLog, *, position: int, horizon: Horizon) -> AsyncGenerator[Sequence[Job], None]:
    """Every job that was there at a position, as it was then, page by page in the order of their ids.

    Raises UnknownEventType, Unavailable.
    """
    last = horizon.last_job_id or _BEFORE_ALL

    async def read(after: str) -> JobPage | None:
        return await log.jobs(after=after, last=last, position=position)

    async with aclosing(_read_ahead(read, _BEFORE_ALL, _upto)) as pages:
        async for page in pages:
            for job in page.jobs if page else ():
                _status_after(job.state)
            if page and page.jobs:
                yield page.jobs


async def _read_ahead(
    read: Callable[[At], Coroutine[Any, Any, Page]], at: At, after: Callable[[Page], At | None]
) -> AsyncGenerator[Page, None]:
    """The pages from `at` on. While one is being used, the database makes the next: never more than that one."""
    reading = asyncio.create_task(read(at))
    try:
        while True:
            page = await reading
            following = after(page)
            if following is not None:
                reading = asyncio.create_task(read(following))
                await asyncio.sleep(0)  # the question goes out before the page is used
            yield page
            if following is None:
                return
    finally:
        reading.cancel()
        await asyncio.wait([reading])


def _upto(page: CountPage | JobPage | None) -> str | None:
    return page.upto if page else None


def _status_after(state: str) -> Status:
    if state not in STATUS_AFTER:
        raise UnknownEventType(state)
    return STATUS_AFTER[state]
