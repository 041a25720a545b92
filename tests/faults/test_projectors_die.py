"""Row 15: projectors that are killed or stopped in the middle of a page, two at once, and a rebuild that is killed anywhere."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.cluster import PROJECTORS, Cluster
from tests.faults.folding import row_held, until_folding
from tests.faults.run import under_load

_TAKEOVER_SECONDS = 10.0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_15_a_projector_that_dies_between_rows_and_checkpoint_is_followed_by_another(
    cluster: Cluster, how: signal.Signals
) -> None:
    with under_load(cluster) as burden:
        gate = cluster.gate()
        job_id = cluster.post("GATED", {"gate": str(gate)})
        cluster.until(lambda: "Started" in cluster.history(job_id))
        cluster.until(lambda: cluster.ask("select state from jobs where id = %s", job_id) == [("Started",)])
        with row_held(cluster, job_id):
            gate.touch()
            name = until_folding(cluster)
            cluster[name].signal(how)
            burden.until_more(10)
        before = cluster.checkpoint()
        died_at = time.monotonic()
        cluster.until(lambda: cluster.checkpoint() > before, saw=cluster.standing)
        took = time.monotonic() - died_at
        assert took < _TAKEOVER_SECONDS + 2, took  # a stopped one is held back by its session's time-out of 10 s
        if how == signal.SIGSTOP:
            cluster[name].resume()
            burden.until_more(10)
        else:
            cluster[name].ended()


def test_15_projectors_killed_again_and_again_before_and_after_a_page_fold_each_event_once(cluster: Cluster) -> None:
    with under_load(cluster) as burden:
        for turn, place in enumerate(("after-fold:2", "before-fold:3", "after-fold:1", "after-fold:5")):
            name = PROJECTORS[turn % 2]
            cluster.end(name)
            cluster.start(name, KILL_AT=place)
            other = PROJECTORS[1 - turn % 2]
            with cluster.faults.fault(f"{name} killed"):
                if "after" in place:
                    cluster[other].pause()
                burden.until_more(10)
                cluster[name].ended()
                cluster[other].resume()
            assert cluster[name].popen.returncode == -signal.SIGKILL
            cluster.start(name)
