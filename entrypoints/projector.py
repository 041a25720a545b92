"""The process `jobledger projector`: keeps the read tables `jobs` and `stats` at the head of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from prometheus_client import Metric

from adapters.postgres.wake_ups import APPENDED, AppendListener
from commands.outages import Outages
from entrypoints import wiring
from entrypoints.metrics import projector_metrics, serving_metrics
from entrypoints.process import stop_on_signals, wait_until_ready
from entrypoints.repeating import repeat
from entrypoints.settings import Settings
from projections.runner import Runner

_log = structlog.get_logger(__name__)

# Seconds between two steps of `stats`: nobody waits for a count, and a page adds a few rows, however many its jobs are.
STATS_PAUSE = 0.5


async def run(settings: Settings) -> None:
    """Fold until SIGTERM or SIGINT. Raises LogDamaged and UnknownEventType: both need a person."""
    with stop_on_signals() as stop:
        await wait_until_ready(settings, stop)
        if stop.is_set():
            return
        outages = Outages(report=_log)
        jobs, stats = wiring.jobs_projection(settings), wiring.stats_projection(settings)
        try:
            async with AppendListener(
                settings.database_url,
                channel=APPENDED,
                application="jobledger projector",
                outages=outages,
            ) as wake_ups:
                runners = {"jobs": Runner(projection=jobs), "stats": Runner(projection=stats, pause=STATS_PAUSE)}

                async def metrics() -> list[Metric]:
                    return projector_metrics(runners, outages)

                async def wait(seconds: float) -> None:
                    await wake_ups.wait(seconds, gather=runners["jobs"].gather)

                async with serving_metrics(settings, "projector", metrics):
                    _log.info("projector ready")
                    await _until_one_fails(
                        repeat(runners["jobs"].step, what="fold the log", stop=stop, outages=outages, wait=wait),
                        repeat(runners["stats"].step, what="count the log", stop=stop, outages=outages),
                    )
        finally:
            await jobs.aclose()
            await stats.aclose()
        _log.info("projector stopped")


async def _until_one_fails(*loops: Coroutine[Any, Any, None]) -> None:
    """Run them side by side to their ends. An error of one ends all, and is raised as it is: it says what a person must do."""
    try:
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
