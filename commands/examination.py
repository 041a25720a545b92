"""What an installation should be like, judged from what was seen of it. No I/O: every check is a plain function of what it needs.

A finding says what is there, and if that is not good, what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from commands.examined_facts import JobFacts, PostgresFacts, RedisFacts
from commands.standing import Standing
from domain.events import EVENT_TYPES

Level = Literal["OK", "WARN", "FAIL"]

OLDEST_POSTGRES = 150_000  # server_version_num
OLDEST_REDIS = 7
CLOCKS_APART = 2.0  # seconds; no decision depends on clocks, but times in logs do
SLOT_BYTES = 1 << 30  # of write-ahead log that a replication slot may keep
OLD_TRANSACTION = 3600.0  # seconds
FREE_WARN, FREE_FAIL = 2 << 30, 256 << 20  # bytes of a disk
MEMORY_SHARE = 0.8  # of maxmemory
CONNECTIONS_SHARE = 0.8  # of max_connections
LAG_WARN, LAG_FAIL = 5.0, 60.0  # seconds
WAITS_LONG = 300.0  # seconds that the first in the queue waits
OVERDUE = 60.0  # seconds after a wait is over
UNCLOSED = 60.0  # seconds; a dead worker's attempts are closed within one or two after it is given up


class Finding(Struct, frozen=True):
    """One line of the report. `remedy`: what to do; "" where there is nothing to do."""

    check: str
    level: Level
    says: str
    remedy: str = ""


def judge_postgres(facts: PostgresFacts) -> Iterator[Finding]:
    """The server with the log."""
    size = f"{facts.database_bytes / (1 << 20):.0f} MiB"
    if facts.version_number < OLDEST_POSTGRES:
        yield Finding("postgresql", "FAIL", f"version {facts.version}", "upgrade to PostgreSQL 15 or later")
    elif facts.is_replica:
        yield Finding("postgresql", "FAIL", "a replica: it takes no events", "let DATABASE_URL name the primary")
    else:
        yield Finding("postgresql", "OK", f"version {facts.version}, {size} in this database")
    off = [
        f"{name} = {value}"
        for name, value in (
            ("fsync", facts.fsync),
            ("full_page_writes", facts.full_page_writes),
            ("synchronous_commit", facts.synchronous_commit),
        )
        if value == "off"
    ]
    if off:
        yield Finding(
            "durability",
            "FAIL",
            f"{', '.join(off)}: a job that was answered with 201 can be lost when the server falls",
            "set them on in postgresql.conf (or by alter system, alter role, alter database), and reload",
        )
    else:
        yield Finding(
            "durability", "OK", f"fsync, full_page_writes and synchronous_commit ({facts.synchronous_commit}) are on"
        )
    if facts.connections > CONNECTIONS_SHARE * facts.max_connections:
        yield Finding(
            "connections",
            "WARN",
            f"{facts.connections} of {facts.max_connections} are in use",
            "raise max_connections, or run fewer processes: docs/operating.md says how many each takes",
        )
    else:
        yield Finding("connections", "OK", f"{facts.connections} of {facts.max_connections} are in use")
    yield from _judge_slots(facts.slots)
    if facts.oldest_transaction > OLD_TRANSACTION:
        yield Finding(
            "transactions",
            "WARN",
            f"one has been open for {facts.oldest_transaction / 3600:.1f} h: nothing can be vacuumed meanwhile",
            "find it in pg_stat_activity (order by xact_start), and end it",
        )
    else:
        yield Finding("transactions", "OK", "none has been open for long")
    yield _judge_clock("PostgreSQL", facts.clock_apart)


def judge_rights(missing: Sequence[str], excess: Sequence[str]) -> Iterator[Finding]:
    """What the user of DATABASE_URL may do. `excess`: what the service must not, a sentence each."""
    if missing:
        yield Finding(
            "rights",
            "FAIL",
            f"the user of DATABASE_URL lacks {', '.join(missing)}",
            "run `jobledger migrate`, which gives each role its rights, or connect as the user that did",
        )
    if excess:
        yield Finding(
            "rights",
            "WARN",
            f"the user of DATABASE_URL {', '.join(excess)}: nothing keeps its processes from changing the log",
            "give the owner's URL as DATABASE_OWNER_URL to `jobledger migrate`, and another one to the processes",
        )
    if not missing and not excess:
        yield Finding("rights", "OK", "the user of DATABASE_URL may do what processes do")


def _judge_slots(slots: Sequence[tuple[str, bool, str | None, int]]) -> Iterator[Finding]:
    bad = False
    for name, is_active, wal_status, kept in slots:
        if is_active and kept <= SLOT_BYTES and wal_status in (None, "reserved"):
            continue
        bad = True
        lost = wal_status in {"unreserved", "lost"}
        yield Finding(
            "replication slots",
            "FAIL" if kept > SLOT_BYTES or lost else "WARN",
            f"slot {name} is {'active' if is_active else 'used by nobody'} and keeps {kept / (1 << 20):.0f} MiB"
            + (f" (wal_status {wal_status})" if lost else ""),
            f"let its reader go on, or drop it: select pg_drop_replication_slot('{name}'); else it fills the disk",
        )
    if not bad:
        yield Finding("replication slots", "OK", f"{len(slots)}, none keeps much" if slots else "none")


def judge_redis(facts: RedisFacts, *, log_id: str | None) -> Iterator[Finding]:
    """The server with the queue. `log_id`: of the log in PostgreSQL."""
    version = facts.compatible_with
    if int(version.partition(".")[0] or 0) < OLDEST_REDIS:
        yield Finding("redis", "FAIL", f"{facts.name}", "upgrade to Redis 7 or later, or to Valkey")
    elif facts.is_cluster:
        yield Finding(
            "redis",
            "FAIL",
            "a cluster, which cannot change two streams in one step",
            "use a single primary (Sentinel is fine)",
        )
    elif facts.role != "master":
        yield Finding("redis", "FAIL", f"a {facts.role}: it takes no entries", "let REDIS_URL name the primary")
    else:
        yield Finding("redis", "OK", facts.name)
    if facts.eviction_policy != "noeviction":
        yield Finding(
            "redis eviction",
            "FAIL",
            f"maxmemory-policy is {facts.eviction_policy}: entries of the queue may be thrown away when memory is full",
            "CONFIG SET maxmemory-policy noeviction, and write it to the configuration (CONFIG REWRITE)",
        )
    elif facts.max_bytes and facts.used_bytes > MEMORY_SHARE * facts.max_bytes:
        yield Finding(
            "redis eviction",
            "WARN",
            f"noeviction, but {facts.used_bytes / facts.max_bytes:.0%} of maxmemory is in use: soon it takes no entries",
            "raise maxmemory, or run more workers",
        )
    else:
        yield Finding("redis eviction", "OK", "maxmemory-policy is noeviction")
    if facts.write_problem:
        yield Finding(
            "redis persistence",
            "FAIL",
            facts.write_problem,
            "make room on its disk; it refuses to be written to until then",
        )
    elif not facts.appends_to_file and not facts.saves:
        yield Finding(
            "redis persistence",
            "WARN",
            "it keeps nothing on disk: after its restart the queue is made again from the log, which takes a while",
            "CONFIG SET appendonly yes",
        )
    else:
        yield Finding("redis persistence", "OK", "append-only file" if facts.appends_to_file else "snapshots")
    yield _judge_clock("Redis", facts.clock_apart)
    if facts.log_id is None:
        yield Finding(
            "queue", "WARN", "nothing of ours is there: no dispatcher has made the queue", "start a dispatcher"
        )
    elif log_id is not None and facts.log_id != log_id:
        yield Finding(
            "queue",
            "FAIL",
            f"it was made from another log, {facts.log_id}, not from {log_id}",
            "use another database of Redis (REDIS_URL=redis://host/1), or empty it if it belongs to nobody",
        )
    else:
        yield Finding("queue", "OK", "made from this log")
    for stream, entries in sorted(facts.parked.items()):
        if entries:
            yield Finding(
                "queue",
                "WARN",
                f"{entries} entries of type {stream} wait for a worker that knows it",
                "install the package with that job type where workers run",
            )


def _judge_clock(server: str, apart: float) -> Finding:
    check = f"clock of {server}"
    if abs(apart) > CLOCKS_APART:
        ahead = "ahead of" if apart > 0 else "behind"
        return Finding(
            check,
            "WARN",
            f"{abs(apart):.1f} s {ahead} this machine's: nothing is decided by it, but times in logs and events do not fit",
            "let all machines follow one time (NTP)",
        )
    return Finding(check, "OK", f"within {max(abs(apart), 0.001):.3f} s of this machine's")


def judge_standing(
    standing: Standing, *, dispatcher: str | None, redis: str, blocked_by: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Who does his work. `redis`: as the dispatcher sees it. `blocked_by`: for each reader that is behind the type of the event
    that it comes to next, None for a gap."""
    if dispatcher is None:
        yield Finding(
            "dispatcher",
            "FAIL",
            "none leads: new jobs, retries and jobs of dead workers wait",
            "start `jobledger dispatcher`",
        )
    elif redis != "ok":
        yield Finding(
            "dispatcher", "FAIL", f"{dispatcher} leads, and says of the queue: {redis}", "see docs/runbook.md"
        )
    else:
        yield Finding("dispatcher", "OK", f"{dispatcher} leads")
    for name, reader in sorted(standing.readers.items()):
        check = f"lag of {name}"
        behind = max(0, standing.head - reader.position)
        next_type = blocked_by.get(name, "")
        if behind and next_type is None:
            yield Finding(
                check,
                "FAIL",
                f"it stands at position {reader.position}: the log has a gap after it",
                "run `jobledger verify`, and restore what is missing from a backup",
            )
        elif behind and reader.age > LAG_WARN and next_type and next_type not in EVENT_TYPES:
            yield Finding(
                check,
                "FAIL",
                f"it stands at position {reader.position}: the next event is a {next_type}, which this release does not know",
                "deploy the release that writes such events to all processes",
            )
        elif behind and reader.age > LAG_WARN:
            yield Finding(
                check,
                "FAIL" if reader.age > LAG_FAIL else "WARN",
                f"{behind} events, the oldest of {reader.age:.0f} s ago",
                f"see that a {'dispatcher' if name == 'dispatcher' else 'projector'} runs; its last log line says what is wrong",
            )
        else:
            yield Finding(check, "OK", f"{behind} events")
    for priority, age in sorted(standing.oldest.items()):
        if age > WAITS_LONG:
            yield Finding(
                "queue",
                "WARN",
                f"the first job of priority {priority} has waited for {age:.0f} s",
                "run more workers, or raise WORKER_CONCURRENCY",
            )


def judge_workers(beats: Sequence[Mapping[str, int]], claims_from: Mapping[str, str | None]) -> Iterator[Finding]:
    """Two looks at the counters of the workers, more than a second apart, and where each claims."""
    first, second = beats
    if not second:
        yield Finding("workers", "FAIL", "none is registered: jobs are accepted and wait", "start `jobledger worker`")
        return
    silent = sorted(name for name, counter in second.items() if first.get(name, -1) == counter)
    unable = sorted(name for name in second if claims_from.get(name) is None and name not in silent)
    direct = sorted(name for name in second if claims_from.get(name) == "jobs")
    for name in silent:
        yield Finding(
            "workers",
            "WARN",
            f"the heartbeat of {name} stands still",
            "if it does not go on within LIVENESS_SECONDS, it is given up, and its jobs run elsewhere",
        )
    for name in unable:
        yield Finding(
            "workers",
            "WARN",
            f"{name} cannot claim jobs",
            "its log says what it cannot reach; one that has just started may be about to",
        )
    if direct:
        yield Finding(
            "workers",
            "WARN",
            f"{len(direct)} of {len(second)} claim directly from PostgreSQL: they cannot read Redis",
            "see that Redis can be reached from there",
        )
    if len(silent) == len(second):
        yield Finding("workers", "FAIL", "no worker is alive", "start `jobledger worker`")
    elif not silent and not unable and not direct:
        yield Finding("workers", "OK", f"{len(second)}, all alive")


def judge_jobs(facts: JobFacts, *, timeout: float) -> Iterator[Finding]:
    """Jobs that may be stuck. `timeout`: JOB_TIMEOUT_SECONDS."""
    cases: list[tuple[tuple[int, str | None], Level, str, str]] = [
        (
            facts.running_long,
            "WARN",
            f"run for longer than JOB_TIMEOUT_SECONDS ({timeout:g} s) and a minute",
            "fine if their type or they themselves may; else look at its worker's log",
        ),
        (
            facts.overdue,
            "FAIL",
            "should have been queued again over a minute ago",
            "see that a dispatcher leads and a projector runs",
        ),
        (
            facts.unclosed,
            "FAIL",
            "were run by workers that are gone, and their attempts are still open",
            "see that a dispatcher leads: it closes them, and they run again",
        ),
    ]
    found = False
    for (count, example), level, what, remedy in cases:
        if count:
            found = True
            yield Finding("jobs", level, f"{count} {what}, such as {example}", remedy)
    if not found:
        yield Finding("jobs", "OK", "none is stuck")


def judge_disk(what: str, *, free: int, total: int) -> Finding:
    """The disk below a directory of this machine."""
    says = f"{free / (1 << 30):.1f} GiB of {total / (1 << 30):.1f} GiB are free"
    if free < FREE_FAIL:
        return Finding(f"disk of {what}", "FAIL", says, "make room")
    if free < FREE_WARN:
        return Finding(f"disk of {what}", "WARN", says, "make room soon")
    return Finding(f"disk of {what}", "OK", says)
