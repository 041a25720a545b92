"""Row 17, too: Redis can be reached and takes nothing: it is full, it is a replica, or it has too few replicas itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.conftest import free_port
from tests.faults.cluster import DISPATCHERS, WORKERS, Cluster
from tests.faults.run import under_load

_TAKES_NOTHING: dict[str, Callable[[redis.Redis], Any]] = {
    "full": lambda client: client.config_set("maxmemory", 1),
    "a replica": lambda client: client.replicaof("127.0.0.1", free_port()),
    "without the replicas that it needs": lambda client: client.config_set("min-replicas-to-write", 1),
}


@pytest.mark.parametrize("how", _TAKES_NOTHING)
def test_17_jobs_run_while_redis_takes_nothing_and_it_is_filled_again_when_it_does(cluster: Cluster, how: str) -> None:
    names = (*DISPATCHERS, *WORKERS)
    told_before = {name: len(cluster[name].told()) for name in WORKERS}

    def told() -> list[list[str]]:
        return [cluster[name].told()[told_before[name] :] for name in WORKERS]

    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        with cluster.faults.fault(how):
            _TAKES_NOTHING[how](cluster.redis)
            jobs = cluster.post_many(5, "TALLIED") + cluster.post_many(5, "TALLIED", priority="high")
            cluster.until_ended(*jobs)
            later = cluster.post_many(5, "TALLIED")
            cluster.until_ended(*later)
            cluster.until(lambda: told() == [["Redis away"]] * len(WORKERS), saw=told)
            assert cluster.queue_length() == cluster.pending() or how != "full"
            lines = cluster.lines_of(names)
            burden.until_more(20)
            assert cluster.lines_of(names) == lines
            cluster.until(lambda: "redis" in _degraded(cluster), saw=lambda: _degraded(cluster))
            _heal(cluster.redis)
        cluster.until(lambda: told() == [["Redis away", "Redis back"]] * len(WORKERS), saw=told)
        burden.until_more(10)
    assert burden.unclear == 0


def _degraded(cluster: Cluster) -> list[str]:
    found: list[str] = cluster.http.get("/health").json()["degraded"]
    return found


def _heal(client: redis.Redis) -> None:
    client.replicaof("NO", "ONE")
    client.config_set("min-replicas-to-write", 0)
    client.config_set("maxmemory", 0)
