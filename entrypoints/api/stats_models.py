"""The shape of what GET /stats gives, with what its documentation says of it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from domain.events import Priority
from entrypoints.api.model_examples import EXAMPLES
from entrypoints.api.models import Timestamp


class JobCounts(Struct, frozen=True):
    """How many jobs there are, by status."""

    pending: Annotated[int, Meta(description="That wait for their first attempt or for another one.", ge=0)]
    processing: Annotated[int, Meta(description="With an attempt that runs.", ge=0)]
    completed: Annotated[int, Meta(description="That were completed, ever.", ge=0)]
    failed: Annotated[int, Meta(description="That have failed, and were not let live again.", ge=0)]
    cancelled: Annotated[int, Meta(description="That were cancelled, and were not let live again.", ge=0)]


class QueueView(Struct, frozen=True, rename="camel"):
    """The pending jobs: those that a worker could take now, and those whose time has not come."""

    depth: Annotated[int, Meta(description="Jobs that are queued.", ge=0)]
    waiting: Annotated[
        int, Meta(description="Pending jobs that are not queued: before a retry, or until `runAt`.", ge=0)
    ]
    oldest_seconds: Annotated[
        float | None, Meta(description="For how long the oldest has been queued; null where none is.")
    ]


class PercentilesView(Struct, frozen=True):
    """Seconds within which 50, 90, 95 and 99 of a hundred were done, off by 4.4 % at most."""

    p50: Annotated[float, Meta(description="Half of them.", ge=0)]
    p90: Annotated[float, Meta(description="90 of a hundred.", ge=0)]
    p95: Annotated[float, Meta(description="95 of a hundred.", ge=0)]
    p99: Annotated[float, Meta(description="99 of a hundred.", ge=0)]


class SpanView(Struct, frozen=True, rename="camel"):
    """What happened lately. It begins with a whole slot of 10 seconds (60 minutes: of 300), so it is up to a slot longer."""

    seconds: Annotated[float, Meta(description="How long ago it began.", ge=0)]
    created: Annotated[int, Meta(description="Jobs that were created.", ge=0)]
    started: Annotated[int, Meta(description="Attempts that began.", ge=0)]
    retried: Annotated[int, Meta(description="Attempts that ended without success and are followed by another.", ge=0)]
    completed: Annotated[int, Meta(description="Jobs that were completed.", ge=0)]
    failed: Annotated[int, Meta(description="Jobs that failed.", ge=0)]
    cancelled: Annotated[int, Meta(description="Jobs that were cancelled.", ge=0)]
    completed_per_second: Annotated[float, Meta(description="`completed` by `seconds`.", ge=0)]
    wait: Annotated[
        PercentilesView | None, Meta(description="From being queued to the start of an attempt; null where none began.")
    ]
    run: Annotated[PercentilesView | None, Meta(description="Of an attempt, to its end; null where none ended.")]


class GroupStats(Struct, frozen=True):
    """The counts of some jobs."""

    jobs: JobCounts
    queue: QueueView
    lately: Annotated[dict[str, SpanView], Meta(description="By the minutes that are looked back: `1`, `5` and `60`.")]


class PairStats(GroupStats, frozen=True, kw_only=True):
    """The counts of one job type at one priority."""

    type: Annotated[str, Meta(description="The job type, installed or not.")]
    priority: Annotated[Priority, Meta(description="The priority.")]


class StatsView(Struct, frozen=True):
    """What is counted of all jobs together. `lag` says how far it is behind the log; usually by half a second."""

    at: Timestamp
    position: Annotated[int, Meta(description="Position of the log up to which everything is counted.", ge=0)]
    lag: Annotated[int, Meta(description="Events after it, which are not counted yet.", ge=0)]
    total: Annotated[GroupStats, Meta(description="All jobs.")]
    pairs: Annotated[
        list[PairStats], Meta(description="By type and priority, those with the most jobs first; 100 at most.")
    ]
    rest: Annotated[GroupStats | None, Meta(description="All that `pairs` has no place for; null where it has.")]


_TOOK = {"p50": 0.004, "p90": 0.011, "p95": 0.019, "p99": 0.038}
_SPAN: dict[str, Any] = {
    "seconds": 64.2,
    "created": 120,
    "started": 122,
    "retried": 2,
    "completed": 118,
    "failed": 1,
    "cancelled": 0,
    "completedPerSecond": 1.838,
    "wait": _TOOK,
    "run": None,
}
EXAMPLES[JobCounts] = [{"pending": 5, "processing": 2, "completed": 1180, "failed": 3, "cancelled": 1}]
EXAMPLES[QueueView] = [{"depth": 4, "waiting": 1, "oldestSeconds": 0.8}]
EXAMPLES[PercentilesView] = [_TOOK]
EXAMPLES[SpanView] = [_SPAN]
EXAMPLES[GroupStats] = [
    {"jobs": EXAMPLES[JobCounts][0], "queue": EXAMPLES[QueueView][0], "lately": {"1": _SPAN, "5": _SPAN, "60": _SPAN}}
]
EXAMPLES[PairStats] = [{**EXAMPLES[GroupStats][0], "type": "CSV_EXPORT", "priority": "default"}]
EXAMPLES[StatsView] = [
    {
        "at": "2026-01-27T10:30:00.000Z",
        "position": 4711,
        "lag": 3,
        "total": EXAMPLES[GroupStats][0],
        "pairs": EXAMPLES[PairStats],
        "rest": None,
    }
]
