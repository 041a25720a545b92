"""Takes all checks over a log: along its positions, job by job, and what is counted; several parts at once, one a connection.

The upper position is fixed when it begins, so a live log is no moving target. What must not come in: a clock other than the
one it is given, and a database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from projections.counts import NEAR, LogCount, cut
from projections.sharing_out import share_out
from projections.verify.checkpoints import judge_checkpoint
from projections.verify.checks import WHEN_DRAINED, Findings, Violation
from projections.verify.counts import judge_counts
from projections.verify.drained import judge_standing, judge_unfinished
from projections.verify.jobs import judge_event, judge_unreadable
from projections.verify.log import PAGE, LogDigest, judge_below, judge_loss, judge_page, pages
from projections.verify.ports import (
    HastyLoss,
    JobRange,
    LogAuditor,
    QueueAuditor,
    Unreadable,
    UnreadableData,
    WaitRules,
)
from projections.verify.protection import judge_protection
from projections.verify.read_table import judge_folds, judge_row

RANGE = 20_000  # events: a statement of a tenth of a second
_CUTS = 8  # samples a range: so many make ranges even
_MOST_CUTS = 65_536  # samples in all: memory stays constant, and only the ranges of a huge log grow
_FEW = 1_000  # jobs that are looked up one by one
_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_SAMPLE = 50  # every so many ranges both folds are compared; all of them if it is to be thorough

T = TypeVar("T")


class _Part(Struct, frozen=True):
    number: int
    jobs: JobRange
    events: int  # about


class Wishes(Struct, frozen=True, kw_only=True):
    """What to check. Positions are inclusive; `last=None`: the head as it is now. `liveness` in seconds."""

    waits: WaitRules
    liveness: float
    transitions: frozenset[tuple[str, str]]
    first: int = 1
    last: int | None = None
    is_thorough: bool = False
    is_drained: bool = False
    range_events: int = RANGE  # events of the jobs in one range, about


class Stage(Struct, frozen=True):
    """How far a part of the work is, in events."""

    name: str
    done: int
    total: int


class Report(Struct, frozen=True, kw_only=True):
    """What came of it. `seconds`: how long each stage took; `unchecked`: checks that were not asked for, or could not be."""

    first: int
    last: int
    events: int
    digest: str
    findings: Findings
    seconds: dict[str, float]
    unchecked: Sequence[str]


class Verification:
    """One run over a log. `now` gives seconds of a monotonic clock; `progress` is called after each page or range."""

    def __init__(
        self,
        *,
        auditors: Sequence[LogAuditor],
        queue: QueueAuditor | None,
        wishes: Wishes,
        now: Callable[[], float],
        progress: Callable[[Stage], None],
    ) -> None:
        self._auditors = auditors
        self._queue = queue
        self._wishes = wishes
        self._now = now
        self._progress = progress
        self._findings = Findings()
        self._events = 0
        self._seconds: dict[str, float] = {}

    async def run(self) -> Report:
        """Check everything that was wished for. Raises Unavailable."""
        wishes, findings = self._wishes, self._findings
        auditor = self._auditors[0]
        standing = await auditor.standing()
        first = wishes.first
        last = standing.head if wishes.last is None else min(wishes.last, standing.head)
        findings.add(judge_protection(await auditor.protection(), wishes.transitions))
        findings.add(judge_below(standing))
        findings.add(judge_checkpoint("R1", "jobs", checkpoint=standing.checkpoint, head=standing.head))
        digest = LogDigest(first)
        total = max(0, last - first + 1)

        async def check_page(auditor: LogAuditor, page: tuple[int, int]) -> int:
            return await self._check_page(auditor, *page, digest=digest)

        async def check_range(auditor: LogAuditor, part: _Part) -> int:
            await self._check_jobs(auditor, part.jobs, number=part.number, first=first, last=last)
            return part.events

        async def check_touched(auditor: LogAuditor, page: tuple[int, int]) -> int:
            ids = await auditor.touched(*page, upto=last)
            if ids:
                jobs = JobRange(after=None, last=_LAST, ids=ids)
                await self._check_jobs(auditor, jobs, number=page[0] // PAGE, first=first, last=last)
            return page[1] - page[0] + 1

        await self._stage("the log", pages(first, last), check_page, total=total)
        if first == 1:
            parts = await self._parts(auditor, last)
            await self._stage("the jobs", iter(parts), check_range, total=total)
        else:
            await self._stage("the jobs", pages(first, last), check_touched, total=total)
        unchecked = [*await self._check_counts(auditor), *await self._check_drained(auditor)]
        return Report(
            first=first,
            last=last,
            events=self._events,
            digest=digest.hex,
            findings=findings,
            seconds=self._seconds,
            unchecked=unchecked,
        )

    async def _stage(
        self, name: str, items: Iterator[T], work: Callable[[LogAuditor, T], Awaitable[int]], *, total: int
    ) -> None:
        """Let each auditor take items until there are none; `work` answers how many events its item was."""
        began = self._now()
        done = 0
        self._progress(Stage(name, 0, total))

        async def do(auditor: LogAuditor, item: T) -> None:
            nonlocal done
            events = await work(auditor, item)
            done += events
            self._progress(Stage(name, min(done, total), total))

        await share_out(items, self._auditors, do)
        self._seconds[name] = self._seconds.get(name, 0.0) + self._now() - began

    async def _check_page(self, auditor: LogAuditor, first: int, last: int, *, digest: LogDigest) -> int:
        page = await auditor.log_page(first, last)
        digest.add(first, last, page.digest)
        self._events += page.events
        self._findings.add(judge_page(page, last))
        if page.may_have_losses:
            liveness = self._wishes.liveness

            async def losses(left_out: Sequence[str]) -> list[HastyLoss]:
                return await auditor.hasty_losses(first, last, liveness=liveness, unreadable=left_out)

            try:
                found = await losses(())
            except UnreadableData:
                # Which they are is reported where the jobs are checked.
                ids = await auditor.losses_of(first, last)
                found = await losses([job_id for job_id, _ in await isolate(ids, losses)])
            self._findings.add(judge_loss(loss, liveness=liveness) for loss in found)
        return last - first + 1

    async def _check_jobs(self, auditor: LogAuditor, jobs: JobRange, *, number: int, first: int, last: int) -> None:
        try:
            await self._judge_jobs(auditor, jobs, number=number, first=first, last=last)
        except UnreadableData:
            unreadable = await self._unreadable(auditor, jobs, last)
            self._findings.add(judge_unreadable(event) for event in unreadable if event.position >= first)
            jobs = replace(jobs, unreadable=[event.job_id for event in unreadable])
            await self._judge_jobs(auditor, jobs, number=number, first=first, last=last)

    async def _judge_jobs(self, auditor: LogAuditor, jobs: JobRange, *, number: int, first: int, last: int) -> None:
        wishes = self._wishes
        found: list[Violation] = []  # of this range, told only once all its questions have been answered
        suspects = await auditor.suspects(jobs, upto=last)
        if suspects:
            # Many of them are found more quickly by reading the whole range.
            close = replace(jobs, ids=suspects) if len(suspects) <= _FEW else jobs
            for event in await auditor.broken_events(close, first=first, upto=last, waits=wishes.waits):
                found += judge_event(event)
            found += [judge_row(row) for row in await auditor.row_differences(close)]
            if wishes.is_drained:
                found += [judge_unfinished(job) for job in await auditor.unfinished(close, upto=last)]
        if wishes.is_thorough or number % _SAMPLE == 0:
            events, unreadable = await auditor.histories(jobs, upto=last)
            left_out = {*jobs.unreadable, *(event.job_id for event in unreadable)}
            found += [judge_unreadable(event) for event in unreadable if event.job_id not in jobs.unreadable]
            folded = await auditor.folded(replace(jobs, unreadable=list(left_out)), upto=last)
            found += judge_folds((event for event in events if event.job_id not in left_out), folded)
        self._findings.add(found)

    async def _unreadable(self, auditor: LogAuditor, jobs: JobRange, last: int) -> list[Unreadable]:
        """The events, one a job, for which the questions about a range cannot be answered."""
        events, unreadable = await auditor.histories(jobs, upto=last)
        by_job = {event.job_id: event for event in reversed(unreadable)}
        newest = {event.job_id: event for event in events}

        async def judge(left_out: Sequence[str]) -> None:
            asked = replace(jobs, unreadable=left_out)
            await auditor.broken_events(asked, first=1, upto=last, waits=self._wishes.waits)
            await auditor.row_differences(asked)
            await auditor.unfinished(asked, upto=last)
            await auditor.folded(asked, upto=last)

        # What is readable for a program, but not for SQL, such as a NUL in a text.
        for job_id, problem in await isolate([job_id for job_id in newest if job_id not in by_job], judge, by_job):
            event = newest[job_id]
            by_job[job_id] = Unreadable(
                job_id, event.version, event.position, f"at this version or before it: {problem}"
            )
        return list(by_job.values())

    async def _parts(self, auditor: LogAuditor, last: int) -> list[_Part]:
        step = max(1, self._wishes.range_events // _CUTS, last // _MOST_CUTS)
        bounds = (await auditor.bounds(upto=last, step=step))[_CUTS::_CUTS]
        ends = [*bounds, _LAST]
        starts = [None, *bounds]
        return [
            _Part(number, JobRange(after=after, last=end), last // len(ends))
            for number, (after, end) in enumerate(zip(starts, ends, strict=True))
        ]

    async def _check_counts(self, auditor: LogAuditor) -> list[str]:
        """Answers what was not checked: each count is one of the whole log."""
        wishes, counted = self._wishes, LogCount()
        if wishes.first != 1 or wishes.last is not None:
            return ["R4"]

        async def count(auditor: LogAuditor, page: tuple[int, int]) -> int:
            counted.add(await auditor.counted(*page, second=standing.second))
            return page[1] - page[0]

        standing, upto = await auditor.counts_standing(), 0
        self._findings.add(judge_checkpoint("R4", "stats", checkpoint=standing.checkpoint, head=standing.head))
        try:
            while upto < standing.goal - NEAR or upto == 0 < standing.goal:
                pages = cut(upto, standing.goal, page=wishes.range_events)
                await self._stage("the counts", pages, count, total=standing.goal - upto)
                upto, standing = standing.goal, await auditor.counts_standing()
            reading = await auditor.read_counts(upto)
        except UnreadableData:
            return ["R4"]  # what cannot be read is reported where the jobs are checked
        if reading.position < upto:
            return ["R4"]  # somebody begins to count anew
        self._findings.add(judge_counts(reading, counted))
        return []

    async def _check_drained(self, auditor: LogAuditor) -> list[str]:
        if not self._wishes.is_drained:
            return list(WHEN_DRAINED)
        self._findings.add(judge_standing(await auditor.standing()))
        if self._queue is None:
            return ["L2"]
        self._findings.add(Violation(check="L2", sentence=sentence) for sentence in await self._queue.remains())
        return []


async def isolate(
    ids: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[object]], known: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Which of `ids` make `ask` raise UnreadableData, and why; `ask` is given the ids to leave out, `known` always among them."""
    always = list(known)

    async def search(suspects: Sequence[str]) -> list[tuple[str, str]]:
        if not suspects:
            return []
        asked = set(suspects)
        try:
            await ask([*always, *(job_id for job_id in ids if job_id not in asked)])
        except UnreadableData as exc:
            if len(suspects) == 1:
                return [(suspects[0], str(exc))]
            half = len(suspects) // 2
            return [*await search(suspects[:half]), *await search(suspects[half:])]
        return []

    return await search(ids)
