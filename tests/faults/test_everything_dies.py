"""Row 22: all processes and both servers are killed at once, and started in any order."""

from __future__ import annotations

import signal
import time
from random import Random

import pytest

from tests.faults.cluster import EVERYTHING, Cluster
from tests.faults.run import under_load

_STEADY_SECONDS = 30.0


@pytest.mark.parametrize("seed", [1, 2])
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
