"""The process `jobledger projector`: keeps the read table `jobs` at the head of the log."""

from __future__ import annotations

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

# Seconds from a wake-up until the table is brought up to date. Who asks for a single job is told of what lies beyond the table;
# to fold each event as it comes would take the CPU from the processes that its job waits for.
GATHER = 0.01


async def run(settings: Settings) -> None:
    """Fold until SIGTERM or SIGINT. Raises LogDamaged and UnknownEventType: both need a person."""
    with stop_on_signals() as stop:
        await wait_until_ready(settings, stop)
        if stop.is_set():
            return
        outages = Outages(report=_log)
        projection = wiring.jobs_projection(settings)
        try:
            async with AppendListener(
                settings.database_url,
                channel=APPENDED,
                application="jobledger projector",
                gather=GATHER,
                outages=outages,
            ) as wake_ups:
                runner = Runner(projection=projection)

                async def gather() -> list[Metric]:
                    return projector_metrics({"jobs": runner}, outages)

                async with serving_metrics(settings, "projector", gather):
                    _log.info("projector ready")
                    await repeat(runner.step, what="fold the log", stop=stop, outages=outages, wait=wake_ups.wait)
        finally:
            await projection.aclose()
        _log.info("projector stopped")
