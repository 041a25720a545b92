"""`make soak`: nothing is broken, for long; what the service uses must stay flat, and the run is judged as every other one.

First the mix of jobs is asked for as fast as it is answered, to see what this machine can do; then at half of that. Exit code 1
where anything grows beyond its bound, or any job is not as it should be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.machine import commit, machine
from tests.faults.cluster import Cluster
from tests.faults.durable_cluster import durable_cluster
from tests.faults.flatness import WARM_UP, Flatness, judge_flatness
from tests.faults.run import under_load
from tests.faults.soak_samples import resources, sample

_CLIENTS = 8
_FULL_SECONDS = 20.0  # for which the full load is measured
_SAMPLES = 180  # of a run, however long it is
_LEAST = 5  # of a short run on a busy machine
_COMPLETED = """
select count(*) from events where type = 'Completed' and recorded_at > clock_timestamp() - make_interval(secs => %s)
"""


class Soak(Struct, frozen=True):
    """A run: samples are rows of `values` at `times` (seconds since its beginning), in the order of `lines`."""

    began: str
    machine: dict[str, str]
    commit: str
    full: float | None  # jobs completed a second at full load, if it was measured
    rate: float  # jobs a second that were asked for
    accepted: int
    verdict: str  # the judge's line
    lines: list[Flatness]
    times: list[float]
    values: list[list[float]]

    @property
    def holds(self) -> bool:
        return all(line.holds for line in self.lines)

    def table(self) -> str:
        """As Markdown."""
        rows = [
            "| resource | first | last | most | slope an hour | bound | |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for line in self.lines:
            unit = f" {line.unit}" if line.unit else ""
            rows.append(
                f"| {line.resource} | {line.first:.4g}{unit} | {line.last:.4g} | {line.most:.4g} | {line.slope:+.3g}"
                f" | {line.bound:.3g} | {'flat' if line.holds else 'GROWS'} |"
            )
        return "\n".join(rows)


def full_load(cluster: Cluster, *, seconds: float) -> float:
    """Jobs completed a second while they are asked for as fast as they are answered."""
    with under_load(cluster, rate=None, clients=_CLIENTS):
        time.sleep(seconds)
        [(completed,)] = cluster.ask(_COMPLETED, seconds / 2)
    return float(completed) / (seconds / 2)


def soak(cluster: Cluster, *, seconds: float, rate: float | None, full_seconds: float = _FULL_SECONDS) -> Soak:
    """Soak it at that rate, or at half of what it can do. Raises AssertionError where the judge finds anything."""
    began, on = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    full = full_load(cluster, seconds=full_seconds) if rate is None else None
    asked = rate if full is None else full / 2
    assert asked is not None
    times: list[float] = []
    values: list[list[float]] = []
    with under_load(cluster, rate=asked, clients=_CLIENTS) as burden:
        burden.until_more(1)
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < seconds or len(times) < _LEAST:
            values.append(sample(cluster))
            times.append(round(now, 2))
            if len(times) % (_SAMPLES // 10) == 0:
                sys.stderr.write(f"{now:.0f} s: {burden.accepted} jobs accepted\n")
            time.sleep(max(0.0, begin + len(times) * seconds / _SAMPLES - time.monotonic()))
        accepted = burden.accepted
    assert burden.verdict is not None
    lines = [
        judge_flatness(one.name, one.unit, one.bound, times=times, values=[row[place] for row in values])
        for place, one in enumerate(resources())
    ]
    return Soak(began, on, commit(), full, asked, accepted, burden.verdict.figures.line(), lines, times, values)


def main(argv: Sequence[str] | None = None) -> int:
    """Soak, print a line a resource, and write the samples where it is asked for."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, help="jobs a second; else half of what the machine can do")
    parser.add_argument("--json", type=Path, help="where to write all samples")
    given = parser.parse_args(argv)
    home = Path(tempfile.mkdtemp(prefix="jobledger-soak-"))
    try:
        with durable_cluster(home) as cluster:
            found = soak(cluster, seconds=given.minutes * 60, rate=given.rate)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    of_full = "" if found.full is None else f", half of {found.full:.0f}"
    sys.stdout.write(
        f"{found.began}; commit {found.commit}; {'; '.join(f'{name} {value}' for name, value in found.machine.items())}\n"
        f"{given.minutes:g} minutes at {found.rate:.0f} jobs a second{of_full}; {found.accepted} jobs;"
        f" the first {WARM_UP:.0%} is not judged\n{found.verdict}\n\n{found.table()}\n"
    )
    if given.json is not None:
        given.json.write_bytes(msgspec.json.encode(found) + b"\n")
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main())
