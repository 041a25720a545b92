"""The course of a rebuild, over a table in memory: what is done when, and what is left when it ends otherwise."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from domain.errors import LogDamaged, Unavailable, UnknownEventType
from projections.rebuild.ports import TablesBusy
from projections.rebuild.rebuilding import Rebuild, Report, Stage, Wishes
from tests.fakes.rebuild import FakeNewTable, FakeRangeFolder


class Bench:
    """A table, those who fill it, and what was told about it."""

    def __init__(self, table: FakeNewTable, *folders: FakeRangeFolder) -> None:
        self.table = table
        self.folders = folders or (FakeRangeFolder(table), FakeRangeFolder(table))
        self.stages: list[Stage] = []
        self.pauses: list[float] = []

    async def rebuild(self, **wishes: object) -> Report:
        seconds = count()
        return await Rebuild(
            table=self.table,
            folders=self.folders,
            wishes=Wishes(range_events=80, **wishes),  # type: ignore[arg-type]
            now=lambda: next(seconds),
            progress=self.stages.append,
            sleep=self._sleep,
        ).run()

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    return Bench(FakeNewTable(head=1_000, checkpoint=1_000))


async def test_all_that_the_log_says_is_folded_once_by_all_folders_and_put_in_place(bench: Bench) -> None:
    report = await bench.rebuild()

    assert bench.table.jobs == set(range(1, 1_001))
    assert bench.table.did == ["make", "analyze", "meet", "swap"]
    assert (report.position, report.jobs, report.swapped, report.differences.found) == (1_000, 1_000, True, False)
    assert sum(folder.ranges for folder in bench.folders) == 13
    assert sorted(index for folder in bench.folders for index in folder.made) == ["key", "second", "third"]
    assert [stage for stage in bench.stages if stage.name == "fold"][-1] == Stage("fold", 1_000, 1_000, "events")
    assert [stage.done for stage in bench.stages if stage.name == "compare"][-1] == 1_000
    assert set(report.seconds) == {"fold", "index", "follow", "compare", "swap"}


async def test_an_empty_log_makes_an_empty_table() -> None:
    bench = Bench(FakeNewTable(head=0, checkpoint=0))
    report = await bench.rebuild()
    assert (bench.table.jobs, report.jobs, report.swapped) == (set(), 0, True)


async def test_what_is_projected_meanwhile_is_followed_until_the_tables_stand_at_one_position() -> None:
    bench = Bench(FakeNewTable(head=50_000, checkpoint=1_000, moves=[20_000, 3_000, 1_000, 0, 100]))
    report = await bench.rebuild()
    assert report.position == 1_000
    assert bench.table.checkpoint == bench.table.position == max(bench.table.jobs)
    assert bench.table.jobs == set(range(1, max(bench.table.jobs) + 1))
    assert bench.table.checkpoint == 25_100
    assert [stage.name for stage in bench.stages].count("follow") >= 3


async def test_differences_are_told_and_keep_the_old_table(bench: Bench) -> None:
    bench.table.jobs = bench.table.jobs - {7, 300} | {5_000}
    report = await bench.rebuild()
    assert not report.swapped
    assert (report.differences.rows, report.differences.missing, report.differences.invented) == (3, 2, 1)
    assert [row.job_id[:8] for row in report.differences.first] == ["00000007", "00000300", "00005000"]
    assert bench.table.did[-1] == "drop"
    assert 7 not in bench.table.jobs


async def test_differences_that_are_accepted_are_mended(bench: Bench) -> None:
    bench.table.jobs -= set(range(100, 200))
    report = await bench.rebuild(accept_differences=True, drop_old=True)
    assert report.swapped
    assert report.differences.rows == 100
    assert len(report.differences.first) == 20
    assert report.differences.first == sorted(report.differences.first, key=lambda row: row.job_id)
    assert bench.table.jobs == set(range(1, 1_001))
    assert bench.table.did[-1] == "swap and drop"


@pytest.mark.parametrize("accepts", [False, True])
async def test_comparing_only_replaces_nothing_and_makes_the_key_alone(bench: Bench, accepts: bool) -> None:
    bench.table.jobs.remove(7)
    report = await bench.rebuild(compare_only=True, accept_differences=accepts)
    assert (report.swapped, report.differences.rows) == (False, 1)
    assert [index for folder in bench.folders for index in folder.made] == ["key"]
    assert bench.table.did[-1] == "drop"


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (None, "the checkpoint of jobs is missing"),
        (1_007, "the checkpoint of jobs is 1007, but the log's head is 1000"),
    ],
)
async def test_a_checkpoint_that_is_none_is_a_difference_and_is_mended(checkpoint: int | None, said: str) -> None:
    bench = Bench(FakeNewTable(head=1_000, checkpoint=checkpoint))
    bench.table.jobs = set(range(1, 1_001))
    report = await bench.rebuild()
    assert (report.swapped, report.differences.checkpoint) == (False, said)
    assert (await bench.rebuild(accept_differences=True)).swapped
    assert bench.table.checkpoint == 1_000


async def test_tables_that_are_busy_are_tried_again(bench: Bench) -> None:
    bench.table.busy = 3
    assert (await bench.rebuild()).swapped
    assert bench.table.did == ["make", "analyze", "meet", "meet", "meet", "meet", "swap"]
    assert len(bench.pauses) == 3


async def test_tables_that_stay_busy_are_left_alone(bench: Bench) -> None:
    bench.table.busy = 1_000_000
    with pytest.raises(TablesBusy, match="somebody reads"):
        await bench.rebuild(patience=0.01)
    assert bench.table.did[-1] == "drop"


async def test_a_hole_in_the_log_stops_it(bench: Bench) -> None:
    bench.folders = (FakeRangeFolder(bench.table, skips=frozenset({500})),)
    with pytest.raises(LogDamaged, match="999 events"):
        await bench.rebuild()
    assert bench.table.did == ["make", "drop"]


async def test_an_event_of_a_newer_release_stops_it_with_its_position(bench: Bench) -> None:
    bench.folders = (FakeRangeFolder(bench.table, skips=frozenset({500})),)
    bench.table.unknown = (500, "Paused")
    with pytest.raises(UnknownEventType, match="'Paused' at position 500"):
        await bench.rebuild()
    assert bench.table.did == ["make", "drop"]


async def test_what_one_folder_cannot_do_stops_all_and_leaves_nothing(bench: Bench) -> None:
    bench.folders[0].fails = Unavailable("gone")
    with pytest.raises(Unavailable, match="gone"):
        await bench.rebuild()
    assert bench.table.did == ["make", "drop"]


async def test_who_is_interrupted_cleans_up() -> None:
    table = FakeNewTable(head=1_000, checkpoint=1_000)
    bench = Bench(table, _Stuck(table))
    task = asyncio.create_task(bench.rebuild())
    await bench.folders[0].began.wait()  # type: ignore[attr-defined]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert table.did == ["make", "drop"]


async def test_a_swap_that_has_begun_is_not_interrupted() -> None:
    table = _SlowToSwap(head=1_000, checkpoint=1_000)
    bench = Bench(table)
    task = asyncio.create_task(bench.rebuild())
    await table.began.wait()
    task.cancel()
    await asyncio.sleep(0)
    table.go_on.set()
    assert (await task).swapped
    assert table.did[-1] == "swap"


async def test_an_interrupted_swap_that_fails_is_an_interruption() -> None:
    table = _SlowToSwap(head=1_000, checkpoint=1_000)
    table.is_busy = True
    task = asyncio.create_task(Bench(table).rebuild())
    await table.began.wait()
    task.cancel()
    await asyncio.sleep(0)
    table.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert table.did[-1] == "drop"


class _Stuck(FakeRangeFolder):
    def __init__(self, table: FakeNewTable) -> None:
        super().__init__(table)
        self.began = asyncio.Event()

    async def fold(self, *args: object, **kwargs: object) -> int:
        self.began.set()
        await asyncio.Event().wait()
        return 0


class _SlowToSwap(FakeNewTable):
    def __init__(self, *, head: int, checkpoint: int) -> None:
        super().__init__(head=head, checkpoint=checkpoint)
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.is_busy = False

    async def swap(self, *, drop_old: bool) -> None:
        self.began.set()
        await self.go_on.wait()
        if self.is_busy:
            raise TablesBusy("somebody reads")
        await super().swap(drop_old=drop_old)
