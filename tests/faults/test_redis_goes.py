"""Rows 10, 12 and 13: Redis is emptied, damaged, replaced, away or silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from adapters.redis.names import RELAY
from tests.faults.cluster import APIS, DISPATCHERS, EVERYTHING, WORKERS, Cluster
from tests.faults.run import judged, under_load, until_idle
from tests.faults.servers import OwnValkey, own_valkey

NETWORK = True

_HUGE = "18446744073709551614-1"  # behind it no id is left
_DAMAGE: dict[str, Callable[[redis.Redis], Any]] = {
    "flushall": lambda client: client.flushall(),
    "one stream deleted": lambda client: client.delete("high_priority"),
    "the other stream deleted": lambda client: client.delete("default"),
    "its group destroyed": lambda client: client.xgroup_destroy("default", "workers"),
    "a foreign entry with a huge id": lambda client: client.xadd("default", {"foreign": "entry"}, id=_HUGE),
}


_FLUSHED, *_OTHERS = _DAMAGE


@pytest.mark.parametrize("damage", [pytest.param(_FLUSHED, marks=pytest.mark.short_form), *_OTHERS])
def test_10_the_queue_of_an_idle_system_is_made_again_without_hands(cluster: Cluster, damage: str) -> None:
    cluster.stop(*WORKERS)
    before = cluster.post_many(3, "TALLIED") + cluster.post_many(3, "TALLIED", priority="high")
    cluster.until_queued(*before)
    _until_made_again(cluster, damage)
    cluster.until_queued(*before)
    cluster.start(*WORKERS)
    cluster.until_ended(*before)

    # Now they wait in a blocked read, which the same damage cuts off.
    _until_made_again(cluster, damage)
    after = cluster.post_many(2, "TALLIED") + cluster.post_many(2, "TALLIED", priority="high")
    cluster.until_ended(*after)
    until_idle(cluster)
    for job_id in before + after:
        assert cluster.history(job_id) == ["Created", "Started", "Completed"]


def _until_made_again(cluster: Cluster, damage: str) -> None:
    made = cluster.redis.hget(RELAY, "made")
    _DAMAGE[damage](cluster.redis)
    cluster.until(lambda: cluster.redis.hget(RELAY, "made") not in (None, made), saw=cluster.entries)


def test_10_damage_after_damage_under_load_loses_nothing(cluster: Cluster) -> None:
    with under_load(cluster) as burden:
        for damage, do in _DAMAGE.items():
            with cluster.faults.fault(damage):
                do(cluster.redis)
            burden.until_more(15)


def test_10_a_restart_without_persistence_and_a_fail_over_to_an_empty_one_lose_nothing(
    cluster: Cluster, spare: OwnValkey
) -> None:
    with under_load(cluster) as burden:
        burden.until_more(15)
        with cluster.faults.fault("restart without persistence"):
            cluster.valkey.kill()
            cluster.valkey.start()
        burden.until_more(15)
        with cluster.faults.fault("fail-over to an empty one"):
            _lead_to(cluster, spare)
        burden.until_more(15)
        with cluster.faults.fault("and back, to one that is behind"):
            _lead_to(cluster, cluster.valkey)
        burden.until_more(15)


def test_10_a_dispatcher_killed_while_it_makes_the_queue_again_is_followed_by_one_that_goes_on(
    cluster: Cluster,
) -> None:
    cluster.stop(*WORKERS)
    jobs = cluster.post_many(10, "TALLIED") + cluster.post_many(10, "TALLIED", priority="high")
    cluster.until_queued(*jobs)
    for place in ("before-reset", "after-reset", "before-relay"):
        cluster.end(*DISPATCHERS)
        cluster.start(DISPATCHERS[0], KILL_AT=place)
        cluster[DISPATCHERS[0]].until_said("leading")
        cluster.start(DISPATCHERS[1])
        cluster.redis.flushall()
        cluster[DISPATCHERS[0]].ended()
        cluster.until_queued(*jobs)
        # The log's older entries are there again, too; none of them twice.
        entries = [(fields["job"], fields["version"]) for _, fields in cluster.entries()]
        assert len(entries) == len(set(entries)), place
    cluster.start_all()
    cluster.until_ended(*jobs)
    until_idle(cluster)
    judged(cluster)


@pytest.mark.parametrize("seconds", [pytest.param(4.0, marks=pytest.mark.short_form), 20.0])
def test_12_while_redis_is_down_the_api_goes_on_and_nobody_spins_or_floods_the_log(
    cluster: Cluster, seconds: float
) -> None:
    names = (*DISPATCHERS, *WORKERS)
    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        with cluster.faults.fault("redis down"):
            cluster.valkey.kill()
            lines, cpu, began = cluster.lines_of(names), cluster.cpu_seconds(*names), time.monotonic()
            while time.monotonic() - began < seconds:
                burden.until_more(5)
            took = time.monotonic() - began
            more_lines, more_cpu = cluster.lines_of(names) - lines, cluster.cpu_seconds(*names) - cpu
            cluster.valkey.start()
        assert burden.unclear == 0  # every request had its answer
    assert more_lines / len(names) / took < 1.0, (more_lines, took)
    assert more_cpu / len(names) / took < 0.5, (more_cpu, took)


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.short_form), 2])
def test_13_entries_whose_replies_are_swallowed_are_left_in_no_pending_list(cluster: Cluster, count: int) -> None:
    with under_load(cluster, rate=15) as burden:
        links = {name: cluster.to_redis(name) for name in (*DISPATCHERS, *WORKERS)}
        rounds: list[dict[str, bytes]] = [
            {cluster.leader(): b"TALLIED", WORKERS[0]: b"XREADGROUP", WORKERS[1]: b"XAUTOCLAIM"},  # XADD is the relay's
            {cluster.leader(): b"high_priority", WORKERS[0]: b"jobledger:moved", WORKERS[1]: b"parked:TALLIED"},
        ]
        for requests in rounds[:count]:
            before = {name: links[name].met for name in requests}
            for name, request in requests.items():
                links[name].swallow_reply(to=request)
            cluster.until(
                lambda: all(links[name].met > met for name, met in before.items()),  # noqa: B023 - called here
                saw=lambda: {name: links[name].met for name in requests},  # noqa: B023
            )
            burden.until_more(10)
    assert cluster.pending() == 0


@pytest.fixture
def spare(home: Path) -> Iterator[OwnValkey]:
    """Another Valkey, empty."""
    with own_valkey(home / "spare") as server:
        yield server


def _lead_to(cluster: Cluster, valkey: OwnValkey) -> None:
    for name in (*DISPATCHERS, *WORKERS):
        cluster.to_redis(name).redirect(valkey.port)
        assert name in EVERYTHING
        assert name not in APIS
