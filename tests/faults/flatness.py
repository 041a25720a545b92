"""Whether something stays flat over a run: by its slope, as a robust line through the samples has it. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from msgspec import Struct

WARM_UP = 0.2  # of a run is not judged: caches, pools and compilers fill
_HOUR = 3600.0
_MOST = 400  # samples that the slope is taken of: its work grows by the square


class Bound(Struct, frozen=True):
    """What a resource may grow by in an hour: so many of its units, or such a part of its median, whichever is more."""

    units: float = 0.0
    part: float = 0.0

    def of(self, values: Sequence[float]) -> float:
        """In units an hour."""
        return max(self.units, self.part * median(values))


class Flatness(Struct, frozen=True):
    """The verdict on one resource. Values are in its unit, slope and bound in units an hour."""

    resource: str
    unit: str
    first: float  # of what was judged
    last: float
    most: float
    slope: float
    bound: float

    @property
    def holds(self) -> bool:
        return self.slope <= self.bound


def judge_flatness(
    resource: str, unit: str, bound: Bound, *, times: Sequence[float], values: Sequence[float]
) -> Flatness:
    """Judge the samples after the warm-up; `times` are seconds. Falling is flat. Raises ValueError for less than three."""
    begin = int(len(times) * WARM_UP)
    times, values = times[begin:], values[begin:]
    if len(times) < 3:
        raise ValueError(f"{resource}: {len(times)} samples after the warm-up say nothing")
    return Flatness(resource, unit, values[0], values[-1], max(values), _HOUR * slope(times, values), bound.of(values))


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Units a second, by Theil and Sen: the median of the slopes of all pairs, which a few wild samples do not move."""
    step = -(-len(times) // _MOST)
    points = list(zip(times[::step], values[::step], strict=True))
    return median((later[1] - one[1]) / (later[0] - one[0]) for one, later in combinations(points, 2))
