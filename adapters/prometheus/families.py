"""What each part of a process shows, as families of metrics by Prometheus' conventions: base units, _total, _seconds.

docs/metrics.md speaks of each; a test holds both together. A family without a sample is shown all the same, so that who writes
an alert finds its name. Labels have few values, known beforehand: states, priorities, and types of jobs that are installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from psycopg_pool import AsyncConnectionPool

from commands.measures import AppendMeasures, AttemptMeasures, Distribution, RequestMeasures
from commands.outages import Outages
from commands.standing import Standing
from domain.events import EVENT_TYPES, PRIORITIES

_DEPENDENCIES = ("PostgreSQL", "Redis")
_CLAIM_SOURCES = ("streams", "jobs", "nowhere")
_KIND_LABELS = ("type", "priority")


def build(*, version: str, process: str) -> Iterator[Metric]:
    """What this process is."""
    yield _gauge(
        "build_info", "Always 1: the release, and which process this is.", {(version, process): 1}, "version", "process"
    )


def outages(found: Outages, *, uses: Iterable[str]) -> Iterator[Metric]:
    """Whether the servers that this process needs can be reached."""
    away = found.away
    values = {(name,): 0 if name in away else 1 for name in uses}
    yield _gauge("dependency_up", "1 if this server could be reached at the last try, 0 if not.", values, "dependency")


def appends(measures: AppendMeasures, *, waiting: int) -> Iterator[Metric]:
    """What this process writes to the log."""
    events = {(name,): measures.events[name] for name in EVENT_TYPES}
    yield _counter("events_appended", "Events that this process has appended to the log.", events, "type")
    yield _histogram(
        "append_batch_events",
        "Events sent in one append; many at a time is how it keeps up.",
        {(): measures.batch_events},
    )
    yield _histogram(
        "append_seconds",
        "From sending one append to its answer, the wait for the log's lock included.",
        {(): measures.seconds},
    )
    yield _gauge("append_waiting_commands", "Commands that wait for the append under way to end.", {(): waiting})


def pool(connections: AsyncConnectionPool[Any]) -> Iterator[Metric]:
    """The connections to PostgreSQL that this process shares among its statements."""
    stats = connections.get_stats()
    idle = stats.get("pool_available", 0)
    sizes = {("busy",): stats.get("pool_size", 0) - idle, ("idle",): idle}
    yield _gauge("pool_connections", "Connections of the pool.", sizes, "state")
    yield _gauge("pool_max_connections", "How many the pool may have.", {(): stats.get("pool_max", 0)})
    yield _gauge(
        "pool_waiting_requests", "Statements that wait for a connection.", {(): stats.get("requests_waiting", 0)}
    )
    yield _counter("pool_requests", "Statements that asked for a connection.", {(): stats.get("requests_num", 0)})
    yield _counter("pool_wait_seconds", "Time for which they waited.", {(): stats.get("requests_wait_ms", 0) / 1000})
    yield _counter("pool_errors", "Statements that were given none.", {(): stats.get("requests_errors", 0)})


def requests(measures: RequestMeasures) -> Iterator[Metric]:
    """How this process answers over HTTP."""
    counts = {
        (route, method, f"{digit}xx"): count
        for (route, method), answers in measures.routes.items()
        for digit, count in enumerate(answers.statuses)
        if count
    }
    yield _counter("http_requests", "Requests that were answered.", counts, "route", "method", "status")
    yield _histogram(
        "http_request_seconds",
        "From a request's head to its answer, ready to be sent.",
        {key: answers.seconds for key, answers in measures.routes.items()},
        "route",
        "method",
    )


def attempts(measures: AttemptMeasures) -> Iterator[Metric]:
    """What this worker has claimed and run."""
    claims = {
        ("claimed",): measures.claimed,
        ("passed",): measures.passed,
        ("refused",): measures.refused,
    }
    yield _counter(
        "claims",
        "Entries of the queue by what came of them: claimed; passed, as the job had moved on; refused, as this worker had been"
        " given up.",
        claims,
        "outcome",
    )
    yield _histogram(
        "attempt_waiting_seconds",
        "From the event that queued a job to its start, of first attempts without a delay.",
        measures.waited,
        *_KIND_LABELS,
    )
    yield _histogram(
        "attempt_running_seconds",
        "From an attempt's claim to the end of its code, however that ended.",
        measures.ran,
        *_KIND_LABELS,
    )


def slots(*, busy: int, slots: int, open_attempts: int) -> Iterator[Metric]:
    """How full this worker is."""
    yield _gauge("worker_slots", "Attempts that this worker may run at a time.", {(): slots})
    yield _gauge("worker_running_attempts", "Attempts whose code runs now.", {(): busy})
    yield _gauge(
        "worker_open_attempts", "Those, and attempts whose end is being written to the log.", {(): open_attempts}
    )


def heartbeat(*, beats: int, failures: int, beat_at: float | None, loop_silent: float) -> Iterator[Metric]:
    """Whether this worker is alive, as others see it."""
    yield _counter("heartbeats", "Heartbeats that reached PostgreSQL; one a second.", {(): beats})
    yield _counter("heartbeat_failures", "Heartbeats that did not.", {(): failures})
    last = {} if beat_at is None else {(): beat_at}
    yield _gauge("heartbeat_last_timestamp_seconds", "When the last one did, in seconds since 1970.", last)
    yield _gauge(
        "event_loop_silent_seconds",
        "For how long code of a job type has kept the event loop to itself.",
        {(): loop_silent},
    )


def standing(found: Standing | None) -> Iterator[Metric]:
    """How far all are; without samples where PostgreSQL does not say."""
    readers = {} if found is None else found.readers
    yield _gauge("log_head_position", "Position of the newest event.", {} if found is None else {(): found.head})
    yield _gauge(
        "log_reader_lag_events",
        "Events that a reader of the log has not read yet.",
        {(name,): max(0, found.head - reader.position) for name, reader in readers.items()}
        if found is not None
        else {},
        "reader",
    )
    yield _gauge(
        "log_reader_lag_seconds",
        "Age of the oldest event that a reader of the log has not read yet; 0 at the head.",
        {(name,): reader.age for name, reader in readers.items()},
        "reader",
    )
    oldest = {} if found is None else {(name,): found.oldest.get(name, 0.0) for name in PRIORITIES}
    yield _gauge("queue_oldest_seconds", "For how long the job that was queued first has waited.", oldest, "priority")
    workers = {} if found is None else {(name,): found.workers.get(name, 0) for name in _CLAIM_SOURCES}
    yield _gauge("workers", "Registered workers by where they claim jobs.", workers, "claims_from")


def dispatcher(
    *,
    leads: bool,
    depth: Mapping[str, int],
    relayed: int,
    resets: int,
    given_up: int,
    lost: int,
    longest_silence: float,
    late: Distribution,
) -> Iterator[Metric]:
    """What this dispatcher does; what it sees of the queue and of the workers, if it leads."""
    yield _gauge("dispatcher_leads", "1 if this dispatcher leads, 0 if it stands by.", {(): int(leads)})
    yield _gauge(
        "queue_entries",
        "Entries of the queue that nobody has claimed, as the leading dispatcher sees them.",
        {(name,): entries for name, entries in depth.items()},
        "priority",
    )
    yield _counter("queue_entries_relayed", "Entries that this dispatcher has added to the queue.", {(): relayed})
    yield _counter(
        "queue_resets", "How often this dispatcher has made the queue again, its first making included.", {(): resets}
    )
    yield _histogram(
        "wake_late_seconds",
        "From the end of a job's wait to the event that queued it, of those it has woken.",
        {(): late},
    )
    yield _counter("workers_given_up", "Workers whose heartbeat stood still, and that were given up.", {(): given_up})
    yield _counter("attempts_lost", "Attempts of such workers that this dispatcher has closed.", {(): lost})
    yield _gauge(
        "worker_longest_silence_seconds",
        "For how long the heartbeat that stands still for longest has done so.",
        {(): longest_silence} if leads else {},
    )


def folds(positions: Mapping[str, int], events: Mapping[str, int]) -> Iterator[Metric]:
    """What this projector has folded, by projection."""
    yield _gauge(
        "projection_position",
        "Position up to which this projector has folded the log; none while another one does so.",
        {(name,): position for name, position in positions.items()},
        "projection",
    )
    yield _counter(
        "projection_events",
        "Events that this projector has folded.",
        {(name,): count for name, count in events.items()},
        "projection",
    )


_Labels = TypeVar("_Labels", bound=tuple[str, ...])


def _counter(name: str, help: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    family = CounterMetricFamily(f"jobledger_{name}", help, labels=labels)
    for value_labels, value in values.items():
        family.add_metric(value_labels, value)
    return family


def _gauge(name: str, help: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"jobledger_{name}", help, labels=labels)
    for value_labels, value in values.items():
        family.add_metric(value_labels, value)
    return family


def _histogram(name: str, help: str, values: Mapping[_Labels, Distribution], *labels: str) -> Metric:
    family = HistogramMetricFamily(f"jobledger_{name}", help, labels=labels)
    for value_labels, distribution in values.items():
        buckets, below = [], 0
        for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(below)))
        family.add_metric(value_labels, buckets, distribution.total)
    return family
