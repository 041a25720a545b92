"""`make recovery`: how long the service takes to go on after one thing is gone, as a table and as JSON.

A whole cluster with the settings' defaults, on servers that write through to the disk; every measure several times, one after the
other. Exit code 1 where any run took longer than it may.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from benchmarks.machine import commit, machine
from tests.faults.cluster import Cluster
from tests.faults.durable_cluster import durable_cluster
from tests.faults.recovery_times import (
    Measure,
    dispatcher_killed,
    postgres_restarted,
    projector_killed,
    redis_away,
    redis_emptied,
    worker_killed,
)

_LARGE = "refill-large"


class Taken(Struct, frozen=True):
    """One measure: the `seconds` of each run, in order, of which `target` were allowed."""

    name: str
    what: str
    target: float
    seconds: list[float]

    @property
    def holds(self) -> bool:
        return max(self.seconds) <= self.target


class Recovery(Struct, frozen=True):
    """All measures, and what they were taken on."""

    began: str
    machine: dict[str, str]
    versions: dict[str, str]
    taken: list[Taken]

    def table(self) -> str:
        """As Markdown."""
        lines = ["| what | wanted | median | longest | runs | |", "| --- | --- | --- | --- | --- | --- |"]
        for one in self.taken:
            lines.append(
                f"| {one.what} | ≤ {one.target:g} s | {median(one.seconds):.2f} s | {max(one.seconds):.2f} s"
                f" | {len(one.seconds)} | {'held' if one.holds else 'MISSED'} |"
            )
        return "\n".join(lines)


def measures(*, queued: int, away: float) -> list[Measure]:
    """All of them, in an order in which none spoils the next: what is queued for the last ones stays queued."""
    return [
        Measure("worker", "worker killed, until its job runs elsewhere", 20.0, worker_killed),
        Measure("dispatcher", "leading dispatcher killed, until a new job runs", 10.0, dispatcher_killed),
        Measure("projector", "projector killed within a page, until `jobs` has caught up", 10.0, projector_killed),
        Measure("postgres", "PostgreSQL restarted, from its first answer until the first 201", 2.0, postgres_restarted),
        Measure("redis", f"Redis away for {away:g} s: the slowest 201 meanwhile", 1.0, redis_away(away)),
        Measure("refill", f"Redis emptied with {queued:,} queued, until all are again", 5.0, redis_emptied(queued)),
        Measure(
            _LARGE,
            f"Redis emptied with {10 * queued:,} queued, until all are again",
            60.0,
            redis_emptied(10 * queued),
        ),
    ]


def measure(cluster: Cluster, wanted: Sequence[Measure], *, runs: int) -> Recovery:
    """Take each of them so often; says on the standard error how far it is."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    on, versions = machine(), _versions(cluster)
    taken = []
    for one in wanted:
        seconds = []
        for _ in range(runs):
            seconds.append(round(one.take(cluster), 3))
            sys.stderr.write(f"{one.name}: {seconds[-1]:.2f} s\n")
            sys.stderr.flush()
        taken.append(Taken(one.name, one.what, one.target, seconds))
    return Recovery(began, on, versions, taken)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the JSON where it is asked for."""
    parser = argparse.ArgumentParser(prog="make recovery", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--queued", type=int, default=100_000, help="jobs that are queued when Redis is emptied")
    parser.add_argument("--large", action="store_true", help="the same with ten times as many")
    parser.add_argument("--away", type=float, default=30.0, help="seconds for which Redis is away")
    parser.add_argument("--liveness", type=float, help="LIVENESS_SECONDS, if it is not to be the default")
    parser.add_argument("--only", nargs="*", help="names of measures")
    parser.add_argument("--json", type=Path, help="where to write the figures of all runs")
    given = parser.parse_args(argv)
    known = measures(queued=given.queued, away=given.away)
    names = given.only or [one.name for one in known if given.large or one.name != _LARGE]
    if unknown := set(names) - {one.name for one in known}:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in known)}")
    settings = {} if given.liveness is None else {"LIVENESS_SECONDS": given.liveness}
    home = Path(tempfile.mkdtemp(prefix="jobledger-recovery-"))
    try:
        with durable_cluster(home, **settings) as cluster:
            found = measure(cluster, [one for one in known if one.name in names], runs=given.runs)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    on = [f"{name} {value}" for facts in (found.machine, found.versions) for name, value in facts.items()]
    sys.stdout.write(f"{found.began}; {'; '.join(on)}\n\n{found.table()}\n")
    if given.json is not None:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return 0 if all(one.holds for one in found.taken) else 1


def _versions(cluster: Cluster) -> dict[str, str]:
    [(postgres,)] = cluster.ask("show server_version")
    server = cluster.redis.info("server")
    assert isinstance(server, dict)
    return {
        "commit": commit(),
        "jobledger": importlib.metadata.version("jobledger"),
        "Python": platform.python_version(),
        "PostgreSQL": str(postgres),
        "Valkey": str(server.get("valkey_version", server["redis_version"])),
    }


if __name__ == "__main__":
    sys.exit(main())
