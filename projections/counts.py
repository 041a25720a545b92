"""The log counted anew, page by page, and held against the table `stats`. What must not come in: how an event is counted.

Every amount is a sum of what single events say, so it does not matter how the log is cut, nor who counts which page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from msgspec import Struct

# Seconds for which a slot of so many seconds is kept by the log's own time: what GET /stats reads, and a slot more.
KEPT: Mapping[int, int] = {10: 320, 300: 4200}
NEAR = 100_000  # positions: so few are counted by the statement that compares


class Counted(NamedTuple):
    """What is counted: a row of `stats` but for its amount. Type and priority are None where the log has none."""

    measure: str
    type: str | None
    priority: str | None
    width: int
    start: int
    bucket: int


EVENTS = Counted(
    "events", None, None, 0, 0, 0
)  # no row of `stats`: how many events were counted, of types that are known


class CountsStanding(Struct, frozen=True):
    """Where the log and `stats` are. `second`: of the epoch, in which the log was at `goal`."""

    head: int
    checkpoint: int | None  # None: there is none
    second: int

    @property
    def goal(self) -> int:
        """Where `stats` is, if it can be there at all."""
        return self.head if self.checkpoint is None else max(0, min(self.checkpoint, self.head))


class CountsReading(Struct, frozen=True):
    """What `stats` holds, and what the log says from a position on up to where `stats` is, all at one moment."""

    position: int
    second: int
    held: Mapping[Counted, int]
    rest: Mapping[Counted, int]


class LogCounter(Protocol):
    """One connection that counts. Raises Unavailable, and something else for data that it cannot read."""

    async def counts_standing(self) -> CountsStanding:
        """Where everybody is now."""

    async def counted(self, after: int, upto: int, *, second: int) -> Mapping[Counted, int]:
        """What the log says from a position, exclusive, to another, but for slots that are too old in that second; and EVENTS."""

    async def read_counts(self, after: int) -> CountsReading:
        """What `stats` holds now, and what the log says from `after` on, exclusive; and EVENTS of that."""


class CountDifference(Struct, frozen=True):
    """A row of `stats` that is not what the log says."""

    counted: Counted
    held: int
    by_log: int

    def __str__(self) -> str:
        what = self.counted
        when = ""
        if what.measure == "since":
            when = f" in the second {_moment(what.start)}"
        elif what.width:
            when = f" in the {what.width} s from {_moment(what.start)}"
        bucket = f" of bucket {what.bucket}" if what.bucket else ""
        return (
            f"{what.measure}{bucket} of {what.type} at {what.priority}{when} is {self.held}, by the log {self.by_log}"
        )


class LogCount:
    """What the log says so far."""

    def __init__(self) -> None:
        self._amounts: dict[Counted, int] = {}

    def add(self, amounts: Mapping[Counted, int]) -> None:
        """Add what another part of it says. What comes to nothing is forgotten, so this holds no more than `stats` does."""
        for counted, amount in amounts.items():
            total = self._amounts.get(counted, 0) + amount
            if total:
                self._amounts[counted] = total
            else:
                self._amounts.pop(counted, None)

    @property
    def events(self) -> int:
        """How many events it is of."""
        return self._amounts.get(EVENTS, 0)

    def at(self, second: int) -> dict[Counted, int]:
        """What of it is kept when the log's time is that."""
        return {
            counted: amount
            for counted, amount in self._amounts.items()
            if counted != EVENTS and (not counted.width or counted.start >= second - KEPT[counted.width])
        }


def differences(held: Mapping[Counted, int], by_log: Mapping[Counted, int]) -> Iterator[CountDifference]:
    """Where the two differ, in an order that is the same each time."""
    for counted in sorted({*held, *by_log}, key=_sorted):
        one, other = held.get(counted, 0), by_log.get(counted, 0)
        if one != other:
            yield CountDifference(counted, one, other)


def _sorted(counted: Counted) -> tuple[int, str, str, str, int, int]:
    return (counted.width, counted.measure, counted.type or "", counted.priority or "", counted.start, counted.bucket)


def cut(after: int, upto: int, *, page: int) -> Iterator[tuple[int, int]]:
    """Pages from a position, exclusive, to another, each as its `after` and `upto`."""
    return ((start, min(start + page, upto)) for start in range(after, upto, page))


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
