"""The endpoint GET /stats: what is counted of all jobs together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from litestar.types import Receive, Scope

from commands.stats import Count, Span, StatsReader, Tally, tally
from domain.events import Priority
from domain.moment import timestamp
from entrypoints.api.answers import Answer, json_answer
from entrypoints.api.stats_models import (
    GroupStats,
    JobCounts,
    PairStats,
    PercentilesView,
    QueueView,
    SpanView,
    StatsView,
)


class StatsEndpoint:
    """It takes the raw request, and answers or raises what becomes a problem document."""

    def __init__(self, stats: StatsReader) -> None:
        self._stats = stats

    async def stats(self, scope: Scope, receive: Receive) -> Answer:
        """GET /stats."""
        read = await self._stats.read()
        groups: dict[tuple[str | None, str | None], list[Count]] = {}
        for count in read.counts:
            groups.setdefault((count.type, count.priority), []).append(count)
        rest = groups.pop((None, None), None)
        pairs = [
            PairStats(**_group(tally(counts, read.at)), type=job_type or "", priority=cast("Priority", priority))
            for (job_type, priority), counts in groups.items()
        ]
        pairs.sort(key=lambda pair: (-_jobs_of(pair), pair.type, pair.priority))
        view = StatsView(
            timestamp(read.at),
            read.position,
            read.head - read.position,
            GroupStats(**_group(tally(read.counts, read.at))),
            pairs,
            None if rest is None else GroupStats(**_group(tally(rest, read.at))),
        )
        return json_answer(view)


def _jobs_of(pair: PairStats) -> int:
    jobs = pair.jobs
    return jobs.pending + jobs.processing + jobs.completed + jobs.failed + jobs.cancelled


def _group(told: Tally) -> dict[str, Any]:
    states = told.states
    queued, waiting = states.get("queued", 0), states.get("waiting", 0)
    ended = (states.get(name, 0) for name in ("completed", "failed", "cancelled"))
    return {
        "jobs": JobCounts(queued + waiting, states.get("processing", 0), *ended),
        "queue": QueueView(queued, waiting, None if told.oldest is None else round(told.oldest, 3)),
        "lately": {str(minutes): _span(span) for minutes, span in told.spans.items()},
    }


def _span(span: Span) -> SpanView:
    happened = span.events
    completed = happened.get("Completed", 0)
    return SpanView(
        seconds=round(span.seconds, 3),
        created=happened.get("Created", 0),
        started=happened.get("Started", 0),
        retried=happened.get("Attempted", 0),
        completed=completed,
        failed=happened.get("Failed", 0),
        cancelled=happened.get("Cancelled", 0),
        completed_per_second=round(completed / span.seconds, 3),
        wait=_percentiles(span.wait),
        run=_percentiles(span.run),
    )


def _percentiles(found: Mapping[int, float] | None) -> PercentilesView | None:
    return None if found is None else PercentilesView(**{f"p{of}": round(value, 6) for of, value in found.items()})
