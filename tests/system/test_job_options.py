"""What a new job says of itself is what the processes do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.events import Failed, Started
from tests.system.service import Service


def post(service: Service, **body: Any) -> str:
    answer = service.http.post("/jobs", json={"payload": None, **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobId"])


def test_a_job_waits_times_out_and_gives_up_as_it_says_itself(shared: Service) -> None:
    shared.start("worker")
    delayed = post(shared, type="NOOP", delaySeconds=1.5)
    timed = post(shared, type="NOOP", runAt="2026-01-01T00:00:00+01:00")  # over
    brief = post(shared, type="GATED", payload={"gate": str(shared.gate())}, timeoutSeconds=0.5, maxAttempts=1)
    tagged = post(shared, type="NOOP", tags=["nightly", "größe ☃"])

    shared.until_ended(brief, status="failed")
    shared.until_ended(delayed, timed, tagged)

    assert shared.job(brief)["error"] == "timed out after 0.5 s"
    assert isinstance(shared.log(brief)[-1].event, Failed)
    log = shared.log(delayed)
    [started] = [one for one in log if isinstance(one.event, Started)]
    assert started.recorded_at - log[0].recorded_at >= timedelta(seconds=1.5)
    shared.until(lambda: shared.ask("select tags from jobs where id = %s", tagged) == [(["nightly", "größe ☃"],)])
    assert shared.ask("select count(*) from jobs where tags @> array['nightly']") == [(1,)]
