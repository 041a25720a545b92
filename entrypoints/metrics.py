"""Which process shows which metrics, and on which port.

METRICS_PORT is the API's, and each other process has one after it. A second process of a kind on the same machine finds its port
taken; so it goes on in steps of as many as there are kinds, and a port says of what kind the process behind it is.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Metric

from adapters.embedded.ports import check_port_is_free
from adapters.embedded.program import CannotStart
from adapters.postgres.event_log import PostgresEventLog
from adapters.prometheus import families
from adapters.prometheus.server import MetricsServer
from commands.heartbeat import Heartbeat
from commands.outages import Outages
from commands.ports import Unavailable
from commands.standing import Standing, StandingReader
from commands.worker import Worker
from entrypoints.settings import InvalidSetting, Settings
from entrypoints.wiring import Pool
from projections.runner import Runner

PROCESSES = ("api", "dispatcher", "projector", "worker")  # in the order of their ports
TRIES = 64  # so many processes of a kind find a port on one machine

_log = structlog.get_logger(__name__)


def ports_of(process: str, first: int) -> range:
    """The ports that a process of that kind tries in turn, with METRICS_PORT `first`."""
    step = len(PROCESSES)
    start = first + PROCESSES.index(process)
    return range(start, min(start + TRIES * step, 65536), step)


def free_metrics_ports(settings: Settings) -> int:
    """The first METRICS_PORT, from the one that is set on, with which one process of each kind finds its first port free."""
    for first in ports_of(PROCESSES[0], settings.metrics_port) if settings.metrics_port else ():
        if all(_is_free(settings.metrics_host, first + place) for place in range(len(PROCESSES))):
            return first
    return settings.metrics_port


@asynccontextmanager
async def serving_metrics(
    settings: Settings, process: str, gather: Callable[[], Awaitable[Iterable[Metric]]]
) -> AsyncIterator[None]:
    """Answer GET /metrics with what `gather` gives while this is open, unless METRICS_PORT is 0. Raises InvalidSetting."""
    if not settings.metrics_port:
        yield
        return
    version = importlib.metadata.version("jobledger")

    async def all_families() -> list[Metric]:
        return [*families.build(version=version, process=process), *await gather()]

    ports = ports_of(process, settings.metrics_port)
    server = MetricsServer(all_families, host=settings.metrics_host, ports=ports)
    try:
        await server.__aenter__()
    except OSError as exc:
        raise InvalidSetting(
            "METRICS_HOST", settings.metrics_host, f"cannot listen there: {exc.strerror or exc}"
        ) from exc
    try:
        if server.port is None:  # the jobs matter more
            _log.warning("no port is free for metrics", first=ports[0], last=ports[-1])
        else:
            _log.info("metrics served", url=f"http://{_bracketed(settings.metrics_host)}:{server.port}/metrics")
        yield
    finally:
        await server.__aexit__(None, None, None)


async def standing_now(standing: StandingReader, *, relayed: int = 0) -> Standing | None:
    """The standing, or None while PostgreSQL cannot be asked."""
    try:
        return await standing.read(relayed=relayed)
    except Unavailable:
        return None


def writer_metrics(log: PostgresEventLog, pool: Pool, outages: Outages, *, uses: Iterable[str]) -> list[Metric]:
    """Of every process that writes to the log."""
    return [
        *families.outages(outages, uses=uses),
        *families.appends(log.measures, waiting=log.waiting),
        *families.pool(pool),
    ]


def worker_metrics(worker: Worker, heartbeat: Heartbeat, *, loop_silent: float) -> list[Metric]:
    """Of a worker alone."""
    running = worker.running
    return [
        *families.attempts(worker.measures),
        *families.slots(busy=running.busy, slots=running.slots, open_attempts=len(running)),
        *families.heartbeat(
            beats=heartbeat.beats, failures=heartbeat.failures, beat_at=heartbeat.beat_at, loop_silent=loop_silent
        ),
    ]


def projector_metrics(runners: Mapping[str, Runner], outages: Outages) -> list[Metric]:
    """Of a projector, by the names of its projections."""
    return [
        *families.outages(outages, uses=["PostgreSQL"]),
        *families.folds(
            {name: runner.position for name, runner in runners.items() if runner.position is not None},
            {name: runner.events for name, runner in runners.items()},
        ),
    ]


def _is_free(host: str, port: int) -> bool:
    try:
        check_port_is_free("METRICS_PORT", host, port, patience=0.0)
    except CannotStart:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
