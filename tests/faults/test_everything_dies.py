"""Row 22: all processes and both servers are killed at once, and started in any order. Row 23: two releases beside each other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.postgres.migrate import known_migrations
from tests.faults.cluster import APIS, DISPATCHERS, EVERYTHING, PROJECTORS, WORKERS, Cluster
from tests.faults.run import under_load
from tests.system.test_two_releases import migrate, next_release

_STEADY_SECONDS = 30.0


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.short_form), 2])
def test_22_everything_killed_at_once_and_started_in_any_order_is_steady_again(cluster: Cluster, seed: int) -> None:
    with under_load(cluster, seed=2200 + seed) as burden:
        burden.until_more(40)
        for name in EVERYTHING:
            cluster[name].signal(signal.SIGKILL)
        cluster.postgres.stop(signal.SIGKILL)
        cluster.valkey.kill()
        for name in EVERYTHING:
            cluster[name].ended()
        parts = [*EVERYTHING, "postgres", "valkey"]
        Random(seed).shuffle(parts)
        for part in parts:
            if part == "postgres":
                cluster.postgres.start()
            elif part == "valkey":
                cluster.valkey.start()
            else:
                cluster.begin(part)
        last_start = time.monotonic()
        cluster.until_ready(*EVERYTHING)
        job_id = cluster.post("TALLIED")
        cluster.until_ended(job_id)
        took = time.monotonic() - last_start
        assert took < _STEADY_SECONDS, took
        print(f"steady {took:.1f} s after the last start")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next_release(tmp_path_factory.mktemp("release"), serves=known_migrations()[-1].version)


# The last ones here: they bring the schema forward.
@pytest.mark.parametrize("is_short", [pytest.param(True, marks=pytest.mark.short_form, id="beside each other"), False])
def test_23_processes_of_two_releases_work_on_one_log_and_die_beside_each_other(
    cluster: Cluster, release: Path, is_short: bool
) -> None:
    newer: dict[str, Any] = {"PYTHONPATH": f"{release}{os.pathsep}{cluster.python_path}"}
    with under_load(cluster, rate=15) as burden:
        burden.until_more(15)
        migrate(cluster, cluster.postgres.url, release)
        newer_ones = (APIS[1], DISPATCHERS[1], PROJECTORS[1], WORKERS[1])
        cluster.kill(*newer_ones)
        burden.until_more(15)
        cluster.start(*newer_ones, **newer)
        cluster.until(lambda: all(cluster.started_by(cluster.worker_id(name)) for name in WORKERS))
        # Now the newer ones alone; then the older ones alone, and both.
        for pair in list(zip(WORKERS, DISPATCHERS, PROJECTORS, strict=True))[: 1 if is_short else 2]:
            cluster.kill(*pair)
            burden.until_more(15)
            cluster.start(*pair, **(newer if pair[0] == WORKERS[1] else {}))
        burden.until_more(15)
