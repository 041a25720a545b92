"""What rebuilding asks of the database: a new table beside the old one, filled, brought up to it, compared, put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from domain.errors import JobledgerError
from projections.verify.ports import RowDifference


class CannotRebuild(JobledgerError):
    """Something about the database forbids it; nothing was changed, and trying again as it is does not help."""

    code = "cannot_rebuild"


class RebuildRunning(JobledgerError):
    """Another rebuild is under way."""

    code = "rebuild_running"


class TablesBusy(JobledgerError):
    """Others hold locks on the tables that are to be swapped; nothing was done, and trying again may help."""

    code = "tables_busy"


class IdRange(Struct, frozen=True):
    """The jobs above `after` (None: from the lowest on) up to `last`."""

    after: str | None
    last: str


class Standing(Struct, frozen=True):
    """Where everybody is. None: there is no such checkpoint."""

    head: int
    jobs: int | None
    new: int | None

    @property
    def goal(self) -> int:
        """Where the new table has to be: where `jobs` is, if it can be there at all."""
        return self.head if self.jobs is None else max(0, min(self.jobs, self.head))


class Compared(Struct, frozen=True):
    """How the rows of `jobs` in a range differ from those made of the log. `columns`: how often each is meant where both are."""

    rows: int
    missing: int
    invented: int
    columns: Mapping[str, int]
    first: Sequence[RowDifference]


class NewTable(Protocol):
    """The table that is to replace `jobs`; who has entered this has it alone. Every method raises Unavailable."""

    async def make(self) -> Standing:
        """Make it, empty, and answer where everybody is; what an earlier rebuild left behind is gone. Raises CannotRebuild."""

    async def bounds(self, *, upto: int, step: int) -> list[str]:
        """Ids that cut the jobs into parts of about `step` events each."""

    async def indexes(self) -> list[str]:
        """The indexes that it needs, the primary key first, as RangeFolder.make_index takes them."""

    async def first_unknown(self, *, upto: int) -> tuple[int, str] | None:
        """The position and type of the first event that this release cannot read."""

    async def begin_following(self, position: int) -> None:
        """It holds what the log says up to `position`: from now on it follows the log from there."""

    async def approach(self, *, most: int) -> int:
        """Fold up to `most` positions towards where `jobs` is; answers how many are left. Raises LogDamaged, UnknownEventType."""

    def meeting(self) -> AbstractAsyncContextManager[str]:
        """A snapshot in which both tables stand at one position; the projectors are held up inside. Raises TablesBusy."""

    async def swap(self, *, drop_old: bool) -> None:
        """Bring it to where `jobs` is and put it in its place, in one transaction. Raises TablesBusy, CannotRebuild."""

    async def drop(self) -> None:
        """Take it away again."""


class RangeFolder(Protocol):
    """One of those that fill the new table, side by side. Every method raises Unavailable."""

    async def fold(self, jobs: IdRange, *, upto: int) -> int:
        """Fold their events up to a position into the new table; answers how many rows there are."""

    async def make_index(self, index: str) -> None:
        """Make one of NewTable.indexes."""

    async def filled(self) -> tuple[int, int]:
        """How many jobs the new table has, and of how many events."""

    async def analyze(self) -> None:
        """Tell the planner what the new table is like."""

    async def look(self, snapshot: str) -> None:
        """See everything as it was in that snapshot, until look_away."""

    async def compare(self, jobs: IdRange, *, shown: int) -> Compared:
        """Hold `jobs` against the new table; with the first `shown` differences."""

    async def look_away(self) -> None:
        """See everything as it is now."""
