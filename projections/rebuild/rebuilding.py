"""Makes `jobs` anew from the log beside the old one, compares the two, puts the new one in its place; the service goes on.

Filled in ranges of ids, by several at once, up to a position that is fixed when it begins; from there on it follows the log like
any projection. Until the swap, one short transaction, nothing that the service uses is touched: whenever this ends, the service
is as it was. What must not come in: a database, a terminal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from heapq import nsmallest
from typing import TypeVar

from msgspec import Struct
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from domain.errors import LogDamaged, Unavailable, UnknownEventType
from projections.rebuild.ports import Compared, IdRange, NewTable, RangeFolder, Standing, TablesBusy
from projections.sharing_out import share_out
from projections.verify.ports import RowDifference

RANGE = 20_000  # events: a statement of less than a tenth of a second
SHOWN = 20  # differences
_CUTS = 8  # samples a range: so many make ranges even
_MOST_CUTS = 65_536  # samples in all: memory stays constant, and only the ranges of a huge log grow
_PAGE = 5_000  # positions that the new table follows in one step
_NEAR = 1_000  # positions: so few are made up for while the projectors wait
_PATIENCE = 120.0  # seconds that the swap is tried for
_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"

T = TypeVar("T")


class Wishes(Struct, frozen=True, kw_only=True):
    """What to do. `compare_only`: nothing is swapped. `accept_differences`: it is swapped whatever differs."""

    compare_only: bool = False
    accept_differences: bool = False
    drop_old: bool = False
    range_events: int = RANGE
    patience: float = _PATIENCE


class Stage(Struct, frozen=True):
    """How far a part of the work is. `unit`: what is counted."""

    name: str
    done: int
    total: int
    unit: str


class Differences(Struct, frozen=True, kw_only=True):
    """What is wrong with the old table. `columns`: how often each is meant. `checkpoint`: a sentence where that is wrong, too."""

    rows: int
    missing: int
    invented: int
    columns: dict[str, int]
    first: Sequence[RowDifference]
    checkpoint: str | None

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return self.rows > 0 or self.checkpoint is not None


class Report(Struct, frozen=True, kw_only=True):
    """What came of it. `position`: that up to which the table was filled. `seconds`: how long each stage took."""

    position: int
    jobs: int
    differences: Differences
    swapped: bool
    seconds: dict[str, float]


class Rebuild:
    """One rebuild. `now` gives seconds of a monotonic clock; `progress` is called after each step."""

    def __init__(
        self,
        *,
        table: NewTable,
        folders: Sequence[RangeFolder],
        wishes: Wishes,
        now: Callable[[], float],
        progress: Callable[[Stage], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._table = table
        self._folders = folders
        self._wishes = wishes
        self._now = now
        self._progress = progress
        self._sleep = sleep
        self._seconds: dict[str, float] = {}

    async def run(self) -> Report:
        """Do what was wished for; unless it is swapped, everything is as before. Raises what the ports raise."""
        try:
            standing = await self._table.make()
            upto = standing.goal
            ranges = await self._ranges(upto)
            jobs = await self._fill(ranges, upto)
            await self._table.begin_following(upto)
            await self._follow()
            differences = await self._compare(ranges, jobs, standing)
            is_wanted = self._wishes.accept_differences or not differences.found
            if is_wanted and not self._wishes.compare_only:
                await self._swap()
                return Report(position=upto, jobs=jobs, differences=differences, swapped=True, seconds=self._seconds)
        except BaseException:
            with suppress(Unavailable):  # what was raised says more; and the next rebuild takes away what is left
                await self._table.drop()
            raise
        await self._table.drop()
        return Report(position=upto, jobs=jobs, differences=differences, swapped=False, seconds=self._seconds)

    async def _ranges(self, upto: int) -> list[IdRange]:
        step = max(1, self._wishes.range_events // _CUTS, upto // _MOST_CUTS)
        bounds = (await self._table.bounds(upto=upto, step=step))[_CUTS::_CUTS]
        return [IdRange(after, last) for after, last in zip([None, *bounds], [*bounds, _LAST], strict=True)]

    async def _fill(self, ranges: Sequence[IdRange], upto: int) -> int:
        async def fold(folder: RangeFolder, jobs: IdRange) -> None:
            await folder.fold(jobs, upto=upto)

        async def make_index(folder: RangeFolder, index: str) -> None:
            await folder.make_index(index)

        await self._stage("fold", ranges, fold, total=upto, unit="events")
        indexes = await self._table.indexes()
        if self._wishes.compare_only:
            del indexes[1:]  # the key is what following and comparing need
        await self._stage("index", indexes, make_index, total=len(indexes), unit="indexes")
        jobs, events = await self._folders[0].filled()
        if events != upto:
            unknown = await self._table.first_unknown(upto=upto)
            if unknown is not None:
                raise UnknownEventType(unknown[1], unknown[0])
            raise LogDamaged(
                f"up to position {upto:,} the log has whole histories for {events:,} events only:"
                " it has a gap, or a job's versions have one (`jobledger verify` says where)"
            )
        await self._folders[0].analyze()
        return jobs

    async def _follow(self) -> None:
        """Come so near to `jobs` that the projectors need not wait long for the rest."""
        began = self._now()
        left = total = await self._table.approach(most=_PAGE)
        while left > _NEAR:
            left = await self._table.approach(most=_PAGE)
            self._progress(Stage("follow", max(0, total - left), total, "events"))
        self._took("follow", began)

    async def _compare(self, ranges: Sequence[IdRange], jobs: int, standing: Standing) -> Differences:
        looking: list[RangeFolder] = []
        found: list[Compared] = []

        async def compare(folder: RangeFolder, part: IdRange) -> None:
            found.append(await folder.compare(part, shown=SHOWN))

        try:
            async for attempt in self._tries():
                with attempt:
                    await self._follow()
                    async with self._table.meeting() as snapshot:
                        for folder in self._folders:
                            looking.append(folder)
                            await folder.look(snapshot)
            await self._stage("compare", ranges, compare, total=jobs, unit="jobs")
        finally:
            for folder in looking:
                with suppress(Unavailable):  # then it sees nothing any more, which is as good
                    await folder.look_away()
        return _sum_up(found, standing)

    async def _swap(self) -> None:
        began = self._now()
        async for attempt in self._tries():
            with attempt:
                await self._follow()
                await _to_its_end(self._table.swap(drop_old=self._wishes.drop_old))
        self._took("swap", began)

    def _tries(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(TablesBusy),
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            stop=stop_after_delay(self._wishes.patience),
            sleep=self._sleep,
            reraise=True,
        )

    async def _stage(
        self,
        name: str,
        items: Sequence[T],
        work: Callable[[RangeFolder, T], Awaitable[None]],
        *,
        total: int,
        unit: str,
    ) -> None:
        """Let each folder take items until there are none; each stands for an equal part of `total`."""
        began = self._now()
        done = 0
        self._progress(Stage(name, 0, total, unit))

        async def do(folder: RangeFolder, item: T) -> None:
            nonlocal done
            await work(folder, item)
            done += 1
            self._progress(Stage(name, total * done // len(items), total, unit))

        await share_out(items, self._folders, do)
        self._took(name, began)

    def _took(self, name: str, began: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + self._now() - began


async def _to_its_end(work: Awaitable[None]) -> None:
    """Wait for it even when cancelled meanwhile: what has succeeded was not cancelled. Raises what it raises."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if task.cancelled() or task.exception() is not None:
            raise
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()


def _sum_up(found: Sequence[Compared], standing: Standing) -> Differences:
    columns: Counter[str] = Counter()
    for part in found:
        columns.update(part.columns)
    checkpoint = None
    if standing.jobs is None:
        checkpoint = "the checkpoint of jobs is missing"
    elif standing.jobs != standing.goal:
        checkpoint = f"the checkpoint of jobs is {standing.jobs}, but the log's head is {standing.head}"
    return Differences(
        rows=sum(part.rows for part in found),
        missing=sum(part.missing for part in found),
        invented=sum(part.invented for part in found),
        columns=dict(sorted(columns.items(), key=lambda counted: (-counted[1], counted[0]))),
        first=nsmallest(SHOWN, (row for part in found for row in part.first), key=lambda row: row.job_id),
        checkpoint=checkpoint,
    )
