"""SIGTERM in the middle of work: what can end ends, what cannot is given back, and nothing that was accepted is lost."""

from __future__ import annotations

import signal
import socket
import threading
import time

from domain.events import Attempted, Completed, Queued, RecordedEvent, Started
from tests.system.service import Service

SETTINGS = {"LIVENESS_SECONDS": 3}

_GRACE = 5  # seconds: SHUTDOWN_GRACE_SECONDS


def test_a_worker_lets_jobs_end_releases_the_others_and_takes_no_more(shared: Service) -> None:
    quick_gate, slow_gate = shared.gate(), shared.gate()
    shared.start("worker", WORKER_CONCURRENCY=4, SHUTDOWN_GRACE_SECONDS=_GRACE)
    first = shared.worker_id("worker")
    quick = shared.post_many(2, "GATED", {"gate": str(quick_gate)})
    slow = shared.post_many(2, "GATED", {"gate": str(slow_gate)})
    shared.until_begun(*quick, *slow)
    waiting = shared.post_many(5, "NOOP")
    shared.until_queued(*waiting)

    told_at = time.monotonic()
    shared["worker"].signal(signal.SIGTERM)
    shared["worker"].until_said("worker stopping")
    quick_gate.touch()  # from here on it has free slots, and must not fill them
    assert shared["worker"].ended() == 0
    assert time.monotonic() - told_at < _GRACE + 2  # and the end of an interpreter on a busy machine

    shared.until_ended(*quick)
    log = shared.log(*quick, *slow, *waiting)
    assert [one for one in log if one.job_id in waiting and isinstance(one.event, Started)] == []
    for job_id in quick:
        assert [one.event for one in log if one.job_id == job_id][2:] == [Completed(attempt=1, worker=first)]
    for job_id in slow:
        _, _, attempted, *_ = _events(shared.log(job_id))
        assert attempted == Attempted(attempt=1, worker=first, outcome="released", retry_after=0, used=0)
    assert shared.ask("select id from workers where id = %s", first) == []

    slow_gate.touch()
    shared.start("worker 2")
    shared.until_ended(*slow, *waiting)
    second = shared.worker_id("worker 2")
    for job_id in slow:
        queued, started, completed = _events(shared.log(job_id))[3:]
        assert isinstance(queued, Queued)
        assert (queued.attempt, queued.used, queued.isolated) == (2, 0, False)
        assert (started, completed) == (Started(attempt=2, worker=second), Completed(attempt=2, worker=second))


def test_a_worker_whose_thread_hears_no_stop_ends_in_time_and_the_attempt_is_lost(shared: Service) -> None:
    gate = shared.gate()
    shared.start("worker", SHUTDOWN_GRACE_SECONDS=1)
    job_id = shared.post("DEAF_THREAD_FOR_LONG", {"gate": str(gate)})
    shared.until_begun(job_id)
    shared["worker"].signal(signal.SIGTERM)
    assert shared["worker"].ended() == 0
    shared["worker"].until_said("attempts stay open, and will be closed as lost")
    assert shared.tally(job_id, "told to stop")
    # Whoever closes it waits until the worker has been silent for long enough: its code may not have ended yet.
    assert shared.ask("select id from workers where id = %s", shared.worker_id("worker")) != []

    gate.touch()
    shared.start("worker 2")
    shared.until_ended(job_id)
    [lost] = [event for event in _events(shared.log(job_id)) if isinstance(event, Attempted)]
    assert (lost.outcome, lost.used) == ("lost", 1)


def test_the_api_answers_what_is_under_way_before_it_ends(shared: Service) -> None:
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(_post_status(shared)))
    with shared.log_held():
        asking.start()
        shared.until(lambda: _appends_waiting(shared) > 0)
        shared["api"].signal(signal.SIGTERM)
        shared.until(lambda: not _accepts(shared))
    assert shared["api"].ended() == 0
    asking.join()
    assert statuses == [201]


def test_every_201_of_an_api_that_was_stopped_under_load_is_in_the_log(shared: Service) -> None:
    with shared.posting() as posted:
        posted.until_more(50)
        shared["api"].stop()
    assert posted.refused == []
    assert None not in shared.last_types(posted.accepted).values()

    shared.start("api", "worker")
    shared.until_ended(*posted.accepted)


def _post_status(service: Service) -> int:
    return service.http.post("/jobs", json={"type": "NOOP", "payload": None}).status_code


def _accepts(service: Service) -> bool:
    try:
        with socket.create_connection((service.http.base_url.host, service.http.base_url.port or 0), timeout=5):
            return True
    except OSError:
        return False


def _appends_waiting(service: Service) -> int:
    [(count,)] = service.ask("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    return int(count)


def _events(log: list[RecordedEvent]) -> list[object]:
    return [one.event for one in log]
