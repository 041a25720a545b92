"""What is counted of all jobs together, and what it says: ages, rates, percentiles. What must not come in: how it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

# Minutes to look back, and the seconds of a slot of time, of which a span holds whole ones.
SPANS: Mapping[int, int] = {1: 10, 5: 10, 60: 300}
PERCENTILES = (50, 90, 95, 99)
MAX_PAIRS = 100  # of type and priority; so an answer stays readable, whatever was ever installed
_BUCKETS_PER_OCTAVE = 8


class Count(Struct, frozen=True):
    """One number. `measure`: a state (queued, waiting, processing, completed, failed, cancelled), an event type, `wait` or `run`
    (how many took about as long as `bucket` says), or `since` (the second of the epoch since when the oldest has been queued)."""

    measure: str
    type: str | None  # None, as the priority: all pairs that are not told apart
    priority: str | None
    minutes: int  # that it looks back; 0: it is about now
    bucket: int
    amount: int


class Counts(Struct, frozen=True):
    """All of them at one moment of the database's clock, counted up to a position of the log; `head` is the newest."""

    at: datetime
    position: int
    head: int
    counts: tuple[Count, ...]


class StatsReader(Protocol):
    """Where the counts are."""

    async def read(self) -> Counts:
        """The counts now, of the MAX_PAIRS pairs of type and priority with the most jobs, and of the rest. Raises Unavailable."""


class Span(Struct, frozen=True):
    """What happened lately. `seconds`: how long ago it began. Percentiles are in seconds; None: nothing to measure."""

    seconds: float
    events: Mapping[str, int]
    wait: Mapping[int, float] | None
    run: Mapping[int, float] | None


class Tally(Struct, frozen=True):
    """What the counts of some jobs say. `oldest`: seconds for which the oldest queued job has been so; None: none is queued."""

    states: Mapping[str, int]
    oldest: float | None
    spans: Mapping[int, Span]


def tally(counts: Iterable[Count], at: datetime) -> Tally:
    """What these say at that moment, added up."""
    states: dict[str, int] = {}
    since: list[int] = []
    events: dict[int, dict[str, int]] = {minutes: {} for minutes in SPANS}
    took: dict[int, dict[str, dict[int, int]]] = {minutes: {"wait": {}, "run": {}} for minutes in SPANS}
    for count in counts:
        if count.measure == "since":
            since.append(count.amount)
        elif not count.minutes:
            states[count.measure] = states.get(count.measure, 0) + count.amount
        elif count.measure in ("wait", "run"):
            buckets = took[count.minutes][count.measure]
            buckets[count.bucket] = buckets.get(count.bucket, 0) + count.amount
        else:
            of_span = events[count.minutes]
            of_span[count.measure] = of_span.get(count.measure, 0) + count.amount
    now = at.timestamp()
    return Tally(
        states,
        max(0.0, now - min(since)) if since else None,
        {
            minutes: Span(
                now - (int(now) - minutes * 60) // width * width,
                events[minutes],
                percentiles(took[minutes]["wait"]),
                percentiles(took[minutes]["run"]),
            )
            for minutes, width in SPANS.items()
        },
    )


def percentiles(buckets: Mapping[int, int]) -> Mapping[int, float] | None:
    """Seconds within which so many of a hundred were done, off by 4.4 percent at most; None where there are none.

    Bucket n holds what took 2 ^ (n / 8) milliseconds or more, and less than the next; the first also what took less.
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    found: dict[int, float] = {}
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        for percentile in PERCENTILES:
            if percentile not in found and seen * 100 >= percentile * total:
                found[percentile] = float(2 ** ((bucket + 0.5) / _BUCKETS_PER_OCTAVE)) / 1000
    return found
