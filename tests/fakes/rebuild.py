"""A rebuild's table in memory: a log of one event a job, ids being numbers; it can be told to be busy, damaged, interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from projections.rebuild.ports import Compared, IdRange, Standing, TablesBusy
from projections.verify.ports import RowDifference


class FakeNewTable:
    """Implements projections.rebuild.ports.NewTable. `head` is the log's, `jobs` are the rows of the old table."""

    def __init__(self, *, head: int, checkpoint: int | None, moves: Sequence[int] = ()) -> None:
        self.head = head
        self.checkpoint = checkpoint
        self.moves = list(moves)  # how far the projector goes before each step of the new table
        self.jobs = set(range(1, (checkpoint or 0) + 1))
        self.busy = 0  # times that the tables cannot be had
        self.new: set[int] | None = None
        self.position: int | None = None
        self.unknown: tuple[int, str] | None = None
        self.did: list[str] = []
        self.snapshots: dict[str, tuple[set[int], set[int]]] = {}

    async def make(self) -> Standing:
        self.did.append("make")
        self.new = set()
        return self._standing()

    async def bounds(self, *, upto: int, step: int) -> list[str]:
        return [_id(number) for number in range(1, upto + 1, step)]

    async def indexes(self) -> list[str]:
        return ["key", "second", "third"]

    async def first_unknown(self, *, upto: int) -> tuple[int, str] | None:
        return self.unknown

    async def begin_following(self, position: int) -> None:
        self.position = position

    async def approach(self, *, most: int) -> int:
        self._project()
        return self._approach(most)

    @asynccontextmanager
    async def meeting(self) -> AsyncIterator[str]:
        self._try("meet")
        while self._approach(10):
            pass
        assert self.new is not None
        self.snapshots["s"] = (set(self.jobs), set(self.new))
        yield "s"

    async def swap(self, *, drop_old: bool) -> None:
        self._try("swap and drop" if drop_old else "swap")
        while self._approach(10):
            pass
        assert self.new is not None
        self.jobs, self.new = self.new, None
        self.checkpoint = self.position

    async def drop(self) -> None:
        self.did.append("drop")
        self.new = self.position = None

    def _try(self, what: str) -> None:
        self.did.append(what)
        if self.busy:
            self.busy -= 1
            raise TablesBusy("somebody reads")

    def _project(self) -> None:
        if self.checkpoint is not None and self.moves:
            before = self.checkpoint
            self.checkpoint = min(self.head, self.checkpoint + self.moves.pop(0))
            self.jobs |= set(range(before + 1, self.checkpoint + 1))

    def _approach(self, most: int) -> int:
        assert self.new is not None
        assert self.position is not None
        goal = self._standing().goal
        after = min(goal, self.position + most)
        self.new |= set(range(self.position + 1, after + 1))
        self.position = after
        return goal - after

    def _standing(self) -> Standing:
        return Standing(self.head, self.checkpoint, self.position)


class FakeRangeFolder:
    """Implements projections.rebuild.ports.RangeFolder. `skips`: jobs whose events it cannot fold."""

    def __init__(self, table: FakeNewTable, *, skips: frozenset[int] = frozenset()) -> None:
        self.table = table
        self.skips = skips
        self.made: list[str] = []
        self.ranges = 0
        self.snapshot: str | None = None
        self.fails: BaseException | None = None

    async def fold(self, jobs: IdRange, *, upto: int) -> int:
        assert self.table.new is not None
        if self.fails is not None:
            raise self.fails
        numbers = {number for number in range(1, upto + 1) if _in(jobs, number)} - self.skips
        assert not numbers & self.table.new, "a job was folded twice"
        self.table.new |= numbers
        self.ranges += 1
        return len(numbers)

    async def make_index(self, index: str) -> None:
        self.made.append(index)

    async def filled(self) -> tuple[int, int]:
        assert self.table.new is not None
        return len(self.table.new), len(self.table.new)

    async def analyze(self) -> None:
        self.table.did.append("analyze")

    async def look(self, snapshot: str) -> None:
        assert snapshot in self.table.snapshots
        self.snapshot = snapshot

    async def compare(self, jobs: IdRange, *, shown: int) -> Compared:
        assert self.snapshot is not None
        old, new = self.table.snapshots[self.snapshot]
        differing = sorted(number for number in old ^ new if _in(jobs, number))
        first = [
            RowDifference(_id(number), 1, None, number in new, number in old, [], {}, {})
            for number in differing[:shown]
        ]
        return Compared(
            rows=len(differing),
            missing=len([number for number in differing if number in new]),
            invented=len([number for number in differing if number in old]),
            columns={},
            first=first,
        )

    async def look_away(self) -> None:
        self.snapshot = None


def _id(number: int) -> str:
    return f"{number:08}-0000-7000-8000-000000000000"


def _in(jobs: IdRange, number: int) -> bool:
    return (jobs.after is None or jobs.after < _id(number)) and _id(number) <= jobs.last
