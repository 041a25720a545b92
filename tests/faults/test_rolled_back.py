"""Row 11: Redis comes back as it was a while ago, or PostgreSQL does while Redis does not. Both by the files on their disks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.cluster import DISPATCHERS, EVERYTHING, WORKERS, Cluster
from tests.faults.run import judged, under_load, until_idle
from tests.system.service import Service

VALKEY_KEEPS = True

_MADE_AGAIN = "the queue is made again"


@pytest.mark.short_form
def test_11_a_redis_rolled_back_is_brought_up_to_date_from_where_it_stands(cluster: Cluster, home: Path) -> None:
    cluster.stop(*WORKERS)
    before = cluster.post_many(3, "TALLIED") + cluster.post_many(3, "TALLIED", priority="high")
    cluster.until_queued(*before)
    cluster.valkey.copy_data(home / "older queue")
    after = cluster.post_many(3, "TALLIED") + cluster.post_many(3, "TALLIED", priority="high")
    cluster.until_queued(*after)

    _roll_redis_back(cluster, home / "older queue")

    cluster.until(lambda: sorted(cluster.queued()) == sorted(before + after), saw=cluster.queued)
    assert not any(cluster[name].said(_MADE_AGAIN) for name in DISPATCHERS)
    cluster.start(*WORKERS)
    cluster.until_ended(*before, *after)
    until_idle(cluster)
    judged(cluster)


def test_11_a_redis_rolled_back_under_load_runs_nothing_twice_and_loses_nothing(cluster: Cluster, home: Path) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    with under_load(cluster) as burden:
        burden.until_more(15)
        cluster.valkey.copy_data(home / "queue under load")
        burden.until_more(40)
        with cluster.faults.fault("redis rolled back"):
            _roll_redis_back(cluster, home / "queue under load")
        burden.until_more(15)
    assert {name: cluster[name].pid for name in EVERYTHING} == processes


def test_11_after_a_restore_of_postgres_the_queue_holds_what_its_log_says_and_nothing_else(
    cluster: Cluster, home: Path
) -> None:
    cluster.stop(*WORKERS)
    kept = cluster.post_many(3, "TALLIED") + cluster.post_many(2, "TALLIED", priority="high")
    cluster.until_queued(*kept)
    _copy_postgres(cluster, home / "older log")
    gone = _post_unseen(cluster, 4)
    cluster.until_queued(*gone)
    head = cluster.head()

    _restore_postgres(cluster, home / "older log")

    assert cluster.head() == head - len(gone)
    cluster.until(lambda: _is_relayed(cluster, there=kept, gone=gone), saw=cluster.queued)
    assert any(cluster[name].said(_MADE_AGAIN) for name in DISPATCHERS)
    cluster.start(*WORKERS)
    cluster.until_ended(*kept)
    until_idle(cluster)
    judged(cluster)


def test_11_a_log_that_has_grown_past_the_mark_since_its_restore_is_relayed_whole(cluster: Cluster, home: Path) -> None:
    cluster.stop(*WORKERS)
    kept = cluster.post_many(3, "TALLIED")
    cluster.until_queued(*kept)
    _copy_postgres(cluster, home / "log before it grew")
    gone = _post_unseen(cluster, 4)
    cluster.until_queued(*gone)
    for name in DISPATCHERS:  # so that they find a log that is as long as before
        cluster[name].pause()

    _restore_postgres(cluster, home / "log before it grew")

    new = cluster.post_many(len(gone), "TALLIED") + cluster.post_many(2, "TALLIED", priority="high")
    for name in DISPATCHERS:
        cluster[name].resume()
    cluster.until(lambda: _is_relayed(cluster, there=kept + new, gone=gone), saw=cluster.queued)
    cluster.start(*WORKERS)
    cluster.until_ended(*kept, *new)
    until_idle(cluster)
    judged(cluster)


def test_11_jobs_that_ran_after_the_moment_of_a_restore_run_again_or_are_forgotten(
    cluster: Cluster, home: Path
) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    gate = cluster.gate()
    running = cluster.post("GATED", {"gate": str(gate)})
    cluster.until(lambda: cluster.history(running) == ["Created", "Started"])
    cluster.until(lambda: cluster.checkpoint() == cluster.head())
    _copy_postgres(cluster, home / "log while it ran")
    gate.touch()
    cluster.until_ended(running)
    gone = _post_unseen(cluster, 5)
    cluster.until_ended(*gone)

    _restore_postgres(cluster, home / "log while it ran")

    # Nobody runs it any more, though the log says so: its worker sees that, and closes the attempt as lost.
    new = cluster.post_many(5, "TALLIED")
    cluster.until_ended(running, *new)
    assert cluster.history(running) == ["Created", "Started", "Attempted", "Queued", "Started", "Completed"]
    assert set(cluster.last_types(gone).values()) == {None}
    assert {name: cluster[name].pid for name in EVERYTHING} == processes
    until_idle(cluster)
    verdict = judged(cluster, ignored=("E3",))  # so this test is the last one here
    assert verdict.counts["E3"] == len(gone)  # were executed, and are in no log


def _roll_redis_back(cluster: Cluster, copy: Path) -> None:
    cluster.valkey.kill()
    cluster.valkey.restore_data(copy)
    cluster.valkey.start()


def _copy_postgres(cluster: Cluster, to: Path) -> None:
    cluster.postgres.stop(signal.SIGINT)
    cluster.postgres.copy_data(to)
    cluster.postgres.start()


def _restore_postgres(cluster: Cluster, copy: Path) -> None:
    cluster.postgres.stop(signal.SIGQUIT)
    cluster.postgres.restore_data(copy)
    cluster.postgres.start()


def _is_relayed(cluster: Cluster, *, there: list[str], gone: list[str]) -> bool:
    """Whether the queue is made of the log that there is now. The log's older jobs come once more, and are refused one by one."""
    queued = set(cluster.queued())
    return set(there) <= queued and not set(gone) & queued


def _post_unseen(cluster: Cluster, count: int) -> list[str]:
    """Post jobs that the restore will undo; the judge, for whom an accepted job must not be lost, does not hear of them."""
    return [Service.post(cluster, "TALLIED") for _ in range(count)]
