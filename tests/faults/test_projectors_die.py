"""Row 15: projectors that are killed or stopped in the middle of a page, two at once, and a rebuild that is killed anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psycopg
import pytest

from tests.faults.cluster import PROJECTORS, Cluster
from tests.faults.folding import row_held, until_folding
from tests.faults.run import under_load
from tests.forking import StartedModule, start_module

_TAKEOVER_SECONDS = 10.0


@pytest.mark.parametrize("how", [pytest.param(signal.SIGKILL, marks=pytest.mark.short_form), signal.SIGSTOP])
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


_REBUILDS = "select 1 from pg_stat_activity where application_name = 'jobledger rebuild'"
_MOMENTS = {  # at which a rebuild is killed, by what is to be seen then
    "it has begun": _REBUILDS,
    "the new table is there": "select 1 where to_regclass('jobs_next') is not null",
    "it is about to swap": f"{_REBUILDS} and wait_event_type = 'Lock'",
}
_LEFT = (
    "select relname from pg_class where right(relname, 5) = '_next'"
    " union all select name from checkpoints where name not in ('jobs', 'stats')"
)


def test_15_a_rebuild_killed_at_any_moment_under_load_changes_nothing_and_the_next_one_misses_nothing(
    cluster: Cluster,
) -> None:
    codes = []
    with under_load(cluster, rate=15) as burden:
        burden.until_more(20)
        for turn, (moment, is_seen) in enumerate(_MOMENTS.items()):
            with cluster.faults.fault(f"rebuild killed: {moment}"), psycopg.connect(cluster.postgres.url) as holder:
                if "swap" in moment:  # which begins with this row
                    holder.execute("select from checkpoints where name = 'jobs' for update")
                rebuild = _begin_rebuild(cluster)
                cluster.until(lambda: bool(cluster.ask(is_seen)) or rebuild.poll() is not None)  # noqa: B023 - called here
                rebuild.kill()
                codes.append(rebuild.wait())
            # With one projector, which another one follows.
            cluster.kill(PROJECTORS[turn % 2])
            burden.until_more(10)
            cluster.start(PROJECTORS[turn % 2])
        rebuild = _begin_rebuild(cluster, "--drop-old")
        burden.until_more(10)
        assert rebuild.wait(60) == 0
        burden.until_more(10)
    assert codes[-1] == -signal.SIGKILL, codes
    assert cluster.ask(_LEFT) == []
    assert cluster.run("rebuild", "jobs", "--dry-run").returncode == 0  # jobs is, row by row, what the log says


def _begin_rebuild(cluster: Cluster, *options: str) -> StartedModule:
    return start_module(
        *("jobledger", "rebuild", "jobs", *options),
        environ=os.environ | {"DATABASE_URL": cluster.postgres.url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
