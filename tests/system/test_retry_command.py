"""`jobledger retry`, against a running service: what failed lives again, and nothing else does."""

from __future__ import annotations

from domain.events import Queued
from tests.system.service import Service


def test_failed_jobs_live_again_by_type_time_and_error(shared: Service) -> None:
    shared.start("worker")
    failing = [
        shared.http.post("/jobs", json={"type": "FLAKY", "payload": {"times": 1}, "maxAttempts": 1}).json()["jobId"]
        for _ in range(3)
    ]
    other = shared.post("CSV_EXPORT", {"data": "invalid"})
    done = shared.post("NOOP")
    shared.until_ended(*failing, other, status="failed")
    shared.until_ended(done)
    shared.until(lambda: shared.ask("select count(*) from jobs where status = 'failed'") == [(4,)])
    wish = ["retry", "--failed-since", "1h", "--type", "FLAKY", "--error-like", "ATTEMPT 1 f"]

    dry = shared.run(*wish, "--dry-run")
    nothing = shared.run("retry", "--failed-since", "1h", "--error-like", "no such error")
    real = shared.run(*wish, "--reason", "the network is back")

    assert (dry.returncode, dry.stdout) == (0, "3 jobs would be retried (FLAKY 3)\n")
    assert (nothing.returncode, nothing.stdout) == (0, "0 jobs to retry\n")
    assert (real.returncode, real.stdout.startswith("3 jobs retried in ")) == (0, True), real.stdout
    shared.until_ended(*failing)
    for job_id in failing:
        assert shared.history(job_id) == ["Created", "Started", "Failed", "Queued", "Started", "Completed"]
        queued = shared.log(job_id)[3]
        assert isinstance(queued.event, Queued)
        assert (queued.event.reason, queued.actor) == ("the network is back", "operator")
    assert shared.job(other)["status"] == "failed"


def test_what_is_no_time_is_one_sentence(shared: Service) -> None:
    for since in ("yesterday", "2", "2x", "-1h"):
        done = shared.run("retry", f"--failed-since={since}")
        assert done.returncode == 2
        assert "is no time: wanted is so long ago" in done.stdout
