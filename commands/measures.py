"""What a process counts while it works: plain numbers, added to once a batch, and read only when somebody asks.

No technology: whoever shows them to a monitoring system is an adapter. Everything here belongs to one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from domain.events import Priority

# Upper bounds of classes, in seconds: from what an idle service takes to what somebody must look at.
MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DURATIONS = (*MOMENTS, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
ANSWERS = (*MOMENTS, 10.0, 30.0, 60.0)  # a request with `Prefer: wait=` may take as long as it says
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)  # of batches


class Distribution:
    """How often a value fell into which class. `counts` has one class more than `bounds`: what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0  # sum of the values

    def add(self, value: float) -> None:
        """One more value; one that equals a bound belongs below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class AppendMeasures:
    """What one process has written to the log."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()  # appended, by type
        self.batch_events = Distribution(SIZES)  # of each call that was answered
        self.seconds = Distribution(MOMENTS)  # from each call to its answer

    def answered(self, *, events: int, seconds: float) -> None:
        """A call with that many events was answered."""
        self.batch_events.add(events)
        self.seconds.add(seconds)


class AnswerMeasures:
    """How requests to one route by one method were answered."""

    __slots__ = ("seconds", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * 6  # by the first digit
        self.seconds = Distribution(ANSWERS)  # until the answer was ready to be sent

    def answered(self, status: int, *, seconds: float) -> None:
        """One more, after so many seconds."""
        self.statuses[status // 100] += 1
        self.seconds.add(seconds)


class RequestMeasures:
    """How requests were answered, by route and method: of a fixed number of both, whatever clients send."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], AnswerMeasures] = {}

    def of(self, route: str, method: str) -> AnswerMeasures:
        """What to count in. `route` is a template, never a path."""
        found = self.routes.get((route, method))
        if found is None:
            found = self.routes[route, method] = AnswerMeasures()
        return found


Kind = tuple[str, Priority]  # of jobs: their type and priority


class AttemptMeasures:
    """What became of the entries that one worker read, and how long attempts waited and ran.

    A worker runs only types that are installed with it, so there are no more kinds than these can make.
    """

    def __init__(self) -> None:
        self.claimed = 0  # entries whose attempt became this worker's
        self.passed = 0  # entries whose job had moved on: somebody else had it
        self.refused = 0  # entries that came while the worker was not registered
        self.waited: dict[
            Kind, Distribution
        ] = {}  # from the event that queued the job to Started, by the database's clock
        self.ran: dict[Kind, Distribution] = {}  # from the answer to the claim to the end of the code

    def have_waited(self, waits: Iterable[tuple[Kind, float]]) -> None:
        """Attempts began after so many seconds."""
        _add_all(self.waited, waits)

    def have_run(self, runs: Iterable[tuple[Kind, float]]) -> None:
        """Attempts ended after so many seconds, however they ended."""
        _add_all(self.ran, runs)


def _add_all(kinds: dict[Kind, Distribution], values: Iterable[tuple[Kind, float]]) -> None:
    for kind, value in values:
        distribution = kinds.get(kind)
        if distribution is None:
            distribution = kinds[kind] = Distribution(DURATIONS)
        distribution.add(value)
