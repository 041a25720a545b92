"""One job can be followed through the logs of all processes by the trace that its request brought along, or was given."""

from __future__ import annotations

from typing import Any

import httpx

from domain.events import Cancelled, Created, Queued
from domain.trace import read_traceparent
from tests.system.service import Service

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def answered_trace(answer: httpx.Response) -> str:
    assert answer.status_code in {200, 201}, answer.text
    trace = read_traceparent(answer.headers["traceresponse"].encode())
    assert trace is not None
    return trace


def lines_about(service: Service, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (process.kind, line)
        for process in service.processes.values()
        for line in process.lines
        if line.get("job_id") == job_id
    ]


def test_a_trace_goes_from_the_request_through_every_process(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker", LOG_LEVEL="debug")
    body = {"type": "CSV_EXPORT", "payload": {"data": "invalid"}, "maxAttempts": 2}
    answer = service.http.post("/jobs", json=body, headers={"traceparent": TRACEPARENT})
    assert answered_trace(answer) == TRACE
    job_id = answer.json()["jobId"]
    service.until_ended(job_id, status="failed")

    log = {recorded.position: recorded for recorded in service.log(job_id)}
    created = next(iter(log.values())).event
    assert isinstance(created, Created)
    assert created.trace == TRACE
    wanted = {
        ("api", "job created"),
        ("dispatcher", "job put into the queue"),
        ("worker", "attempt started"),
        ("worker", "the code of the job type raised"),
        ("worker", "attempt ended"),
    }
    service.until(
        lambda: wanted <= {(kind, line["event"]) for kind, line in lines_about(service, job_id)},
        saw=lambda: lines_about(service, job_id),
    )
    for kind, line in lines_about(service, job_id):
        assert log[line["position"]].job_id == job_id
        # What woke it after its wait belongs to no request; the attempt that follows is its job's again.
        woken = kind == "dispatcher" and isinstance(log[line["position"]].event, Queued)
        assert line.get("trace_id") == (None if woken else TRACE), line
        if kind != "api":
            assert line["attempt"] in {1, 2}

    # Who commands something later has a trace of his own, or is given one.
    retried = service.http.post(f"/jobs/{job_id}/retry", headers={"traceparent": "not a traceparent"})
    own = answered_trace(retried)
    assert own != TRACE
    assert [one.event.trace for one in service.log(job_id) if isinstance(one.event, Queued) and one.event.trace] == [
        own
    ]


def test_a_batch_is_one_trace_and_an_attempt_in_a_process_of_its_own_knows_it(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    later = {"type": "NOOP", "payload": None, "delaySeconds": 3600}
    answer = service.http.post("/jobs/batch", json=[later, later])
    trace = answered_trace(answer)
    ids = [item["jobId"] for item in answer.json()["items"]]
    assert {one.event.trace for one in service.log(*ids) if isinstance(one.event, Created)} == {trace}

    cancelled = service.http.post(f"/jobs/{ids[0]}/cancel", headers={"traceparent": TRACEPARENT})
    assert answered_trace(cancelled) == TRACE
    [event] = [one.event for one in service.log(ids[0]) if isinstance(one.event, Cancelled)]
    assert event.trace == TRACE
    service["api"].until_said("cancelled")
    assert [line["trace_id"] for _, line in lines_about(service, ids[0])] == [TRACE]
    service.http.post(f"/jobs/{ids[1]}/cancel")
