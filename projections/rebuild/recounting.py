"""Makes `stats` anew: counts the whole log beside it, compares, and puts the counts in their place.

The log is counted page by page, by several at once, up to where `stats` is; then `stats` is held for a moment, what has come
since is counted, and its rows are replaced in one transaction. Until then nothing is written: whenever this ends, the service is
as it was. What must not come in: a database, a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from domain.errors import LogDamaged
from projections.counts import NEAR, CountDifference, Counted, LogCount, LogCounter, cut, differences
from projections.rebuild.ports import CannotRebuild, TablesBusy
from projections.rebuild.rebuilding import Stage
from projections.sharing_out import share_out

PAGE = 20_000  # positions: a statement of less than a tenth of a second
_PATIENCE = 120.0  # seconds for which it is tried to hold `stats`


class CountsTable(LogCounter, Protocol):
    """A connection that may change `stats` as well."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """A transaction in which no projector moves `stats`; an error in it undoes it. Raises TablesBusy, Unavailable."""

    async def replace(self, position: int, amounts: Mapping[Counted, int]) -> None:
        """Let it hold these and nothing else, counted up to a position."""


class CountsReport(Struct, frozen=True, kw_only=True):
    """What came of it. `position`: up to which was counted. `checkpoint`: a sentence where that was wrong."""

    position: int
    amounts: int
    differing: Sequence[CountDifference]
    checkpoint: str | None
    replaced: bool

    @property
    def found(self) -> bool:
        """Whether anything differed."""
        return bool(self.differing) or self.checkpoint is not None


class Recount:
    """One recount. `counters` count side by side; the table's own connection may be one of them."""

    def __init__(
        self,
        *,
        table: CountsTable,
        counters: Sequence[LogCounter],
        progress: Callable[[Stage], None],
        compare_only: bool = False,
        accept_differences: bool = False,
        page: int = PAGE,
    ) -> None:
        self._table = table
        self._counters = counters
        self._progress = progress
        self._compare_only = compare_only
        self._accept_differences = accept_differences
        self._page = page
        self._count = LogCount()
        self._upto = 0  # position to which that goes

    async def run(self) -> CountsReport:
        """Count, compare, and replace unless something forbids it. Raises LogDamaged, CannotRebuild, and what the ports raise."""
        report: CountsReport | None = None
        async for attempt in _tries():
            with attempt:
                await self._approach()
                async with self._table.held():
                    report = await self._compare()
        assert report is not None
        return report

    async def _approach(self) -> None:
        """Count up to near where `stats` is, which goes on meanwhile."""
        standing = await self._table.counts_standing()
        while self._upto < standing.goal - NEAR or self._upto == 0 < standing.goal:
            await self._count_pages(self._upto, standing.goal, second=standing.second)
            self._upto, standing = standing.goal, await self._table.counts_standing()

    async def _count_pages(self, after: int, upto: int, *, second: int) -> None:
        done = after

        async def count(counter: LogCounter, page: tuple[int, int]) -> None:
            nonlocal done
            start, end = page
            self._count.add(await counter.counted(start, end, second=second))
            done += end - start
            self._progress(Stage("count", done, upto, "events"))

        await share_out(cut(after, upto, page=self._page), self._counters, count)

    async def _compare(self) -> CountsReport:
        standing = await self._table.counts_standing()
        reading = await self._table.read_counts(self._upto)
        if reading.position < self._upto:
            raise CannotRebuild(f"the checkpoint of stats went back to {reading.position} meanwhile")
        self._count.add(reading.rest)
        self._upto = reading.position
        if self._count.events != self._upto:
            raise LogDamaged(
                f"up to position {self._upto:,} the log has {self._count.events:,} events that can be read only: it has a gap, or"
                " events of a newer release (`jobledger verify` says where)"
            )
        amounts = self._count.at(reading.second)
        differing = list(differences(reading.held, amounts))
        checkpoint = None
        if standing.checkpoint is None:
            checkpoint = "the checkpoint of stats is missing"
        elif standing.checkpoint != standing.goal:
            checkpoint = f"the checkpoint of stats is {standing.checkpoint}, but the log's head is {standing.head}"
        is_wanted = self._accept_differences or not (differing or checkpoint)
        is_replaced = is_wanted and not self._compare_only
        if is_replaced:
            await self._table.replace(self._upto, amounts)
        return CountsReport(
            position=self._upto, amounts=len(amounts), differing=differing, checkpoint=checkpoint, replaced=is_replaced
        )


def _tries() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(TablesBusy),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        stop=stop_after_delay(_PATIENCE),
        reraise=True,
    )
