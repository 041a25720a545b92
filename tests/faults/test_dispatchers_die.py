"""Row 14: dispatchers that are killed or stopped at any place, and two or three of them at once."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.cluster import DISPATCHERS, WORKERS, Cluster
from tests.faults.run import under_load

_TAKEOVER_SECONDS = 10.0
_PLACES = ("after-relay", "after-woken", "after-removed", "after-lost")


def test_14_a_dispatcher_killed_at_each_named_place_is_followed_by_another(cluster: Cluster) -> None:
    with under_load(cluster) as burden:
        cluster.kill(*DISPATCHERS)
        first, second = DISPATCHERS
        for place in _PLACES:
            cluster.start(first, KILL_AT=place)
            if place in {"after-removed", "after-lost"}:
                gate = cluster.gate()
                held = cluster.post("GATED", {"gate": str(gate)})
                cluster.until(lambda: "Started" in cluster.history(held))  # noqa: B023 - called here
                cluster.kill(*WORKERS)  # whose rows and attempts the doomed finds
                gate.touch()
                cluster.begin(*WORKERS)
            cluster[first].until_said("leading")
            cluster.start(second)
            cluster[first].ended()
            died_at = time.monotonic()
            assert cluster[first].popen.returncode == -signal.SIGKILL, place
            cluster[second].until_said("leading")
            assert time.monotonic() - died_at < _TAKEOVER_SECONDS, place
            burden.until_more(10)
            cluster.stop(second)  # gives its lease up


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param((signal.SIGKILL,), marks=pytest.mark.short_form, id="killed"),
        pytest.param((signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL), id="killed and stopped"),
    ],
)
def test_14_a_leader_killed_or_stopped_under_load_doubles_no_entry(
    cluster: Cluster, ways: tuple[signal.Signals, ...]
) -> None:
    with under_load(cluster) as burden:
        cluster.start("dispatcher 3")
        for how in ways:
            burden.until_more(10)
            name = cluster.leader()
            with cluster.faults.fault(f"{name}: {how.name}"):
                cluster[name].signal(how)
            began = time.monotonic()
            cluster.until(lambda: cluster.leader_now() not in (None, name))  # noqa: B023 - called here
            took = time.monotonic() - began
            assert took < _TAKEOVER_SECONDS, took
            burden.until_more(10)
            if how == signal.SIGSTOP:
                cluster[name].resume()  # it still believes that it leads
                burden.until_more(10)
            else:
                cluster[name].ended()
                cluster.start(name)
        cluster.stop("dispatcher 3")


def test_14_of_several_that_believe_to_lead_each_entry_is_added_once(cluster: Cluster) -> None:
    """The leader is stopped with a page in its hands, and goes on when another has relayed the same page."""
    cluster.stop(*WORKERS)
    cluster.kill(*DISPATCHERS)
    cluster.start(DISPATCHERS[0], KILL_AT="before-relay:1:STOP")
    jobs = cluster.post_many(20, "TALLIED")
    cluster.until(lambda: cluster.is_stopped(DISPATCHERS[0]))
    cluster.start(DISPATCHERS[1])
    cluster.until_queued(*jobs)
    jobs += cluster.post_many(20, "TALLIED")
    cluster.until_queued(*jobs)
    cluster[DISPATCHERS[0]].resume()
    jobs += cluster.post_many(20, "TALLIED")
    cluster.until_queued(*jobs)
    queued = [fields["job"] for _, fields in cluster.entries()]
    assert sorted(queued) == sorted(jobs)
    with under_load(cluster, rate=10):
        cluster.start(*WORKERS)
        cluster.until_ended(*jobs)
    for job_id in jobs:
        assert cluster.history(job_id) == ["Created", "Started", "Completed"]
