"""Row 16: the API is killed after it has committed and before it has answered."""

from __future__ import annotations

import signal

import httpx
import pytest

from tests.faults.cluster import APIS, EVERYTHING, Cluster
from tests.faults.run import judged, under_load, until_idle


@pytest.mark.parametrize("place", ["before-created", pytest.param("after-created", marks=pytest.mark.short_form)])
def test_16_the_retry_with_its_key_after_a_killed_api_gets_one_job(cluster: Cluster, place: str) -> None:
    cluster.end(APIS[0])
    cluster.start(APIS[0], KILL_AT=place)
    key = cluster.new_key()
    with pytest.raises(httpx.HTTPError):
        cluster.post_with_key(key, "TALLIED", {"n": place}, api=APIS[0])
    cluster[APIS[0]].ended()
    before = cluster.ask("select job_id::text from idempotency_keys where key = %s", f'"{key}"') or cluster.ask(
        "select job_id::text from idempotency_keys where key = %s", key
    )
    job_id = cluster.post_with_key(key, "TALLIED", {"n": place}, api=APIS[1])
    assert before == ([(job_id,)] if place == "after-created" else [])
    cluster.start(APIS[0])
    assert cluster.post_with_key(key, "TALLIED", {"n": place}, api=APIS[0]) == job_id
    cluster.until_ended(job_id)
    until_idle(cluster)
    judged(cluster)


def test_16_apis_killed_under_load_lose_no_answer_and_double_none(cluster: Cluster) -> None:
    with under_load(cluster) as burden:
        for turn in range(4):
            name = APIS[turn % 2]
            burden.until_more(20)
            with cluster.faults.fault(f"{name} killed"):
                cluster[name].kill()
            if turn % 2:
                cluster.start(name, KILL_AT="after-created:10")
                cluster[name].ended()
                assert cluster[name].popen.returncode == -signal.SIGKILL
            cluster.start(name)
    assert all(cluster[name].is_running for name in EVERYTHING)
