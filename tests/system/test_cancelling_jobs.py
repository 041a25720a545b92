"""Cancelling and retrying through the real processes: whoever runs the job hears of it, and it ends as it should."""

from __future__ import annotations

from datetime import timedelta

from domain.events import Cancelled, CancelRequested, type_name
from tests.system.service import Service
from tests.untraced import untraced


def test_a_running_handler_is_told_within_two_seconds_and_a_cancelled_job_can_live_again(shared: Service) -> None:
    shared.start("worker", WORKER_CONCURRENCY=2)
    waits, thread_gate = shared.gate(), shared.gate()
    async_job = shared.post("GATED", {"gate": str(waits)})
    plain_job = shared.post("DEAF_THREAD_FOR_LONG", {"gate": str(thread_gate)})
    shared.until_begun(async_job, plain_job)
    queued = shared.post("NOOP")
    shared.until_queued(queued)

    for job in (async_job, plain_job):
        answer = shared.http.post(f"/jobs/{job}/cancel", json={"reason": "no longer wanted"})
        assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    shared.until_ended(async_job, status="cancelled")
    shared.until(lambda: bool(shared.tally(plain_job, "told to stop")))

    # Async code is cancelled; plain code is told, and keeps its slot until it ends.
    requested, cancelled = shared.log(async_job)[-2:]
    assert cancelled.recorded_at - requested.recorded_at < timedelta(seconds=2)
    asked_at = shared.log(plain_job)[-1].recorded_at.timestamp()
    assert shared.tally(plain_job, "told to stop")[0]["at"] - asked_at < 2
    assert shared.job(plain_job)["status"] == "processing"
    assert shared.http.post(f"/jobs/{plain_job}/cancel").json()["allowed"] == []
    thread_gate.touch()
    shared.until_ended(plain_job, status="cancelled")
    shared.until_ended(queued)

    assert (untraced(requested.event), requested.actor) == (CancelRequested("no longer wanted"), "anonymous")
    assert cancelled.event == Cancelled(attempt=1, worker=cancelled.actor)

    waits.touch()
    answer = shared.http.post(f"/jobs/{async_job}/retry", json={"reason": "wanted after all"})
    assert answer.status_code == 200
    shared.until_ended(async_job)
    assert shared.job(async_job)["attempts"] == 2
    assert [type_name(one.event) for one in shared.log(async_job)[-3:]] == ["Queued", "Started", "Completed"]


def test_a_queued_job_that_is_cancelled_never_runs(shared: Service) -> None:
    job_id = shared.post("NOOP")
    shared.until_queued(job_id)

    assert shared.http.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    shared.start("worker")
    shared.until_ended(shared.post("NOOP"))

    assert shared.history(job_id) == ["Created", "Cancelled"]
    assert shared.tally(job_id) == []
