"""Workers that die or stand still in the middle of jobs: each job ends elsewhere, exactly as the log says."""

from __future__ import annotations

from typing import Any

import pytest

from domain.events import Attempted, Completed, Created, Failed, Queued, RecordedEvent, Started
from tests.system.service import Service
from tests.system.test_metrics import families_of

pytestmark = pytest.mark.usefixtures("unmeasured")

LIVENESS = 3  # seconds
SETTINGS = {"LIVENESS_SECONDS": LIVENESS}


def test_jobs_of_a_killed_worker_end_elsewhere_each_in_a_process_of_its_own(shared: Service) -> None:
    gate = shared.gate()
    shared.start("worker")
    jobs = shared.post_many(3, "GATED", {"gate": str(gate)})
    shared.until_begun(*jobs)
    shared["worker"].kill()
    dead = shared.worker_id("worker")
    gate.touch()
    shared.start("worker 2")
    shared.until_ended(*jobs)

    alive = shared.worker_id("worker 2")
    for job_id in jobs:
        _, started, lost, queued, again, completed = _events(shared.log(job_id))
        assert started == Started(attempt=1, worker=dead)
        assert lost == Attempted(attempt=1, worker=dead, outcome="lost", retry_after=1, used=1)
        assert isinstance(queued, Queued)
        assert (queued.attempt, queued.used, queued.isolated) == (2, 1, True)
        assert (again, completed) == (Started(attempt=2, worker=alive), Completed(attempt=2, worker=alive))
        [line] = [line for line in shared["dispatcher"].lines if line.get("job_id") == job_id]
        created, _, closing, *_ = shared.log(job_id)
        assert isinstance(created.event, Created)
        told = {"event": "attempt lost", "attempt": 1, "position": closing.position, "trace_id": created.event.trace}
        assert told.items() <= line.items()
    seen = families_of(shared, "dispatcher")
    assert seen["jobledger_workers_given_up_total"].samples[0].value >= 1
    assert seen["jobledger_attempts_lost_total"].samples[0].value >= len(jobs)
    ran_in = [fact["pid"] for job_id in jobs for fact in shared.tally(job_id, "begin") if fact["attempt"] == 2]
    assert len({*ran_in, shared["worker 2"].pid}) == 4


def test_a_job_that_kills_its_worker_takes_no_neighbour_with_it_twice(shared: Service) -> None:
    shared.start("worker")
    job_id = shared.post("KILLS_ITS_WORKER")
    shared["worker"].ended()
    gate = shared.gate()
    shared.start("worker 2")
    neighbour = shared.post("GATED", {"gate": str(gate)})
    shared.until_ended(job_id)
    gate.touch()
    shared.until_ended(neighbour)
    outcomes = [event.outcome for event in _events(shared.log(job_id)) if isinstance(event, Attempted)]
    assert outcomes == ["lost", "lost"]
    assert shared.history(neighbour) == ["Created", "Started", "Completed"]


def test_an_entry_whose_worker_died_before_it_could_claim_is_swept_up_by_another(shared: Service) -> None:
    job_id = shared.post("NOOP")
    shared.until_queued(job_id)
    with shared.log_held():
        shared.start("worker")
        dead = shared.worker_id("worker")
        shared.until(lambda: bool(shared.redis.xpending("default", "workers")["pending"]))
        shared["worker"].kill()
        # Its append still waits for the lock, until the server notices that nobody waits for the answer.
        shared.until(lambda: shared.ask("select 1 from pg_locks where locktype = 'advisory' and not granted") == [])
    shared.start("worker 2")
    shared.until_ended(job_id)
    assert shared.history(job_id) == ["Created", "Started", "Completed"]
    assert _events(shared.log(job_id))[1] == Started(attempt=1, worker=shared.worker_id("worker 2"))
    assert dead != shared.worker_id("worker 2")


def test_a_claim_that_went_through_after_its_worker_died_is_lost_and_runs_again(shared: Service) -> None:
    job_id = shared.post("NOOP")
    shared.until_queued(job_id)
    with shared.log_held():
        shared.start("worker")
        shared.until(lambda: bool(shared.ask("select 1 from pg_locks where locktype = 'advisory' and not granted")))
        shared["worker"].kill()
    shared.start("worker 2")
    shared.until_ended(job_id)
    # Whether the server noticed in time is a race; what must not be is a Started that nobody runs.
    assert len(shared.tally(job_id, "begin")) == 1


def test_a_handler_that_blocks_the_event_loop_is_not_taken_for_dead(shared: Service) -> None:
    shared.start("worker")
    job_id = shared.post("BLOCKS_THE_LOOP", {"seconds": 3 * LIVENESS})
    shared.until_ended(job_id)
    assert shared.history(job_id) == ["Created", "Started", "Completed"]


def test_code_that_never_returns_costs_its_worker_and_is_ended_by_its_time_out_the_next_time(shared: Service) -> None:
    alone: dict[str, Any] = {"WORKER_CONCURRENCY": 1, "JOB_TIMEOUT_SECONDS": 1, "SHUTDOWN_GRACE_SECONDS": 1}
    jobs = {}
    for name, blocks in (("worker", True), ("worker 2", False)):
        shared.start(name, **alone)
        jobs[name] = shared.post("NEVER_RETURNS", {"blocks": blocks})
        shared.until_begun(jobs[name])
    assert shared["worker"].ended() == shared["worker 2"].ended() == 70
    assert shared["worker"].said("the event loop is blocked by a handler: ending this process")
    assert shared["worker 2"].said("code of a job type hears no stop: this worker ends its other jobs and itself")

    shared.start("worker 3")
    shared.until_ended(*jobs.values(), status="failed")
    for job_id in jobs.values():
        outcomes = [event.outcome for event in _events(shared.log(job_id)) if isinstance(event, Attempted | Failed)]
        assert outcomes == ["lost", "timeout"]


def test_a_worker_that_stood_still_closes_nothing_afterwards_and_works_on(shared: Service) -> None:
    gate = shared.gate()
    shared.start("worker")
    jobs = shared.post_many(3, "GATED", {"gate": str(gate)})
    shared.until_begun(*jobs)
    shared["worker"].pause()
    shared.until_gone(shared.worker_id("worker"))
    shared.start("worker 2")
    shared.until_begun(*jobs, attempt=2)  # the others wait at the same gate
    shared["worker"].resume()
    shared["worker"].until_said("given up, beginning anew")
    gate.touch()
    shared.until_ended(*jobs)
    alive = shared.worker_id("worker 2")
    for job_id in jobs:
        assert _events(shared.log(job_id))[-1] == Completed(attempt=2, worker=alive)

    shared.stop("worker 2")
    after = shared.post("NOOP")
    shared.until_ended(after)
    [started] = [event for event in _events(shared.log(after)) if isinstance(event, Started)]
    assert started.worker not in {shared.worker_id("worker"), alive}


def test_a_closing_that_comes_after_the_worker_was_given_up_is_refused(shared: Service) -> None:
    gate = shared.gate()
    shared.start("worker")
    job_id = shared.post("GATED", {"gate": str(gate)})
    shared.until_begun(job_id)
    shared["worker"].pause()
    gate.touch()  # the first thing that the handler sees when it goes on
    shared.until(lambda: "Attempted" in shared.history(job_id))
    shared["worker"].resume()
    shared.until_ended(job_id)
    started, lost = _events(shared.log(job_id))[1:3]
    assert isinstance(lost, Attempted)
    assert isinstance(started, Started)
    assert (lost.worker, lost.outcome) == (started.worker, "lost")
    assert isinstance(_events(shared.log(job_id))[-1], Completed)
    shared.stop("worker")


def _events(log: list[RecordedEvent]) -> list[object]:
    return [one.event for one in log]
