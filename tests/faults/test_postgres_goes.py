"""Rows 5 to 8, and half of 19: PostgreSQL is restarted, cut off, silent, away for long, or has no connection left."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import Random

import httpx
import psycopg
import pytest

from domain.events import Attempted, Failed, Started
from tests.faults.cluster import APIS, EVERYTHING, LIVENESS, WORKERS, Cluster
from tests.faults.network import Link
from tests.faults.run import judged, under_load, until_idle

NETWORK = True
POSTGRES = {"max_connections": "70"}

_FATES: dict[str, Callable[[Link, bytes], None]] = {
    "swallowed": lambda link, request: link.swallow_reply(to=request),
    "cut before": lambda link, request: link.cut_before_reply(to=request),
    "cut after": lambda link, request: link.cut_after_reply(to=request),
}


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.short_form), 3])
def test_5_postgres_restarted_again_and_again_loses_no_201_and_nobody_needs_a_restart(
    cluster: Cluster, times: int
) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    with under_load(cluster) as burden:
        for _ in range(times):
            burden.until_more(15)
            with cluster.faults.fault("postgres restarted"):
                cluster.postgres.restart()
            burden.until_more(5)
    assert {name: cluster[name].pid for name in EVERYTHING} == processes


def test_5_sessions_ended_at_random_lose_nothing_and_nobody_needs_a_restart(cluster: Cluster) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    dice = Random(5)
    with under_load(cluster) as burden:
        for _ in range(12):
            burden.until_more(5)
            cluster.postgres.terminate_some(dice)
    assert {name: cluster[name].pid for name in EVERYTHING} == processes


@pytest.mark.parametrize("fate", ["swallowed", "cut before", pytest.param("cut after", marks=pytest.mark.short_form)])
def test_6_a_reply_that_is_lost_doubles_no_version_and_the_retry_gets_the_same_job(cluster: Cluster, fate: str) -> None:
    with under_load(cluster, rate=10) as burden:
        api = cluster.to_postgres(APIS[0])
        workers = [cluster.to_postgres(name) for name in WORKERS]
        before = [link.met for link in (api, *workers)]
        _FATES[fate](api, b"Created")
        for link in workers:
            _FATES[fate](link, b"Started")
        key = cluster.new_key()
        job_id = ""
        for name in (APIS[0], APIS[1], APIS[0]):
            with suppress(httpx.HTTPError, AssertionError):  # it may be told to ask again, or nothing at all
                again = cluster.post_with_key(key, "TALLIED", {"fate": fate}, api=name)
                assert job_id in {"", again}
                job_id = again
        assert job_id
        cluster.until(lambda: [link.met for link in (api, *workers)] == [met + 1 for met in before])
        burden.until_more(5)
        cluster.until_ended(job_id)
    # No Started that nobody runs: it would have been lost by now, or stand.
    assert [one for one in cluster.log(job_id) if isinstance(one.event, Attempted)] == []


def test_6_an_append_that_is_cut_off_while_it_waits_for_the_lock_is_done_once(cluster: Cluster) -> None:
    with under_load(cluster, rate=20) as burden:
        for server_too in (True, False):
            burden.until_more(5)
            with cluster.log_held():
                cluster.until(lambda: _waiting_for_the_log(cluster) >= 2)
                for name in (*APIS, *WORKERS):
                    cluster.to_postgres(name).reset(server_too=server_too)
                # Those who only lost their client wait on for a while, beside the next try of the same append.
                time.sleep(1.5)
        burden.until_more(5)


@pytest.mark.short_form
def test_7_listeners_that_hear_nothing_more_are_replaced_by_polling_within_a_second(cluster: Cluster) -> None:
    cluster.stop(*WORKERS)
    for name in EVERYTHING:
        if name.startswith(("dispatcher", "projector")):
            cluster.to_postgres(name).black_hole(opened_with=b" listen\0")
    relayed, projected = [], []
    for _ in range(5):
        began = time.monotonic()
        job_id = cluster.post("TALLIED")
        cluster.until_queued(job_id)
        relayed.append(time.monotonic() - began)
        cluster.until(lambda: cluster.ask("select 1 from jobs where id = %s", job_id) != [])  # noqa: B023
        projected.append(time.monotonic() - began)
    assert sorted(relayed)[2] < 1.0, relayed
    assert sorted(projected)[2] < 1.0, projected
    assert cluster.network is not None
    cluster.network.heal()
    cluster.start(*WORKERS)
    until_idle(cluster)
    judged(cluster)


@pytest.mark.short_form
def test_8_with_no_connection_left_the_api_answers_503_and_heals_by_itself(cluster: Cluster) -> None:
    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        with _no_connection_left(cluster):
            cluster.until(lambda: _answer(cluster) == 503)
            answer = cluster.http.post("/jobs", json={"type": "TALLIED", "payload": None})
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        burden.until_more(10)


@pytest.mark.parametrize("livenesses", [pytest.param(1.2, marks=pytest.mark.short_form), 2.5])
def test_19_postgres_away_for_longer_than_the_liveness_makes_nobody_lost(cluster: Cluster, livenesses: float) -> None:
    head = cluster.head()
    with under_load(cluster, rate=10) as burden:
        gate = cluster.gate()
        running = cluster.post_many(3, "GATED", {"gate": str(gate)})
        cluster.until(lambda: all("Started" in cluster.history(job_id) for job_id in running))
        burden.until_more(5)
        # Not the names that they began with: a test before may have had them register anew.
        registered = {worker for (worker,) in cluster.ask("select id from workers")}
        with cluster.faults.fault("postgres away"):
            cluster.postgres.stop(signal.SIGQUIT)
            time.sleep(livenesses * LIVENESS)  # that is the fault
            cluster.postgres.start()
        time.sleep(LIVENESS)  # whoever is given up for it is given up now
        gate.touch()
        cluster.until_ended(*running)
    log = [one for one in cluster.log() if one.position > head]
    for job_id in running:
        assert cluster.history(job_id) == ["Created", "Started", "Completed"]
    assert [one for one in log if isinstance(one.event, (Attempted, Failed)) and one.event.outcome == "lost"] == []
    assert {one.event.worker for one in log if isinstance(one.event, Started)} <= registered


def _waiting_for_the_log(cluster: Cluster) -> int:
    [(count,)] = cluster.ask("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    return int(count)


def _answer(cluster: Cluster) -> int:
    return cluster.http.get("/jobs/00000000-0000-7000-8000-000000000000").status_code


@contextmanager
def _no_connection_left(cluster: Cluster) -> Iterator[None]:
    """Take all connections, also those that the service had."""
    with ExitStack() as taken:
        own = taken.enter_context(cluster.postgres.connect())
        ours = [own.info.backend_pid]
        # By what they are not: one that is only beginning has no name yet, and its place all the same.
        others = "from pg_stat_activity where backend_type = 'client backend' and pid <> all(%s)"
        while True:
            own.execute(f"select pg_terminate_backend(pid) {others}".encode(), [ours])
            with suppress(psycopg.OperationalError):
                while True:
                    ours.append(taken.enter_context(cluster.postgres.connect()).info.backend_pid)
            if not own.execute(f"select {others}".encode(), [ours]).rowcount:
                break
        yield
