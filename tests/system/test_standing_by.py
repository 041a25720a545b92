"""The projector away for a while, and two dispatchers of which the leader dies."""

from __future__ import annotations

import time

from tests.system.service import Service


def test_while_the_projector_is_away_get_is_right_and_afterwards_jobs_catches_up(shared: Service) -> None:
    shared.start("worker")
    shared.until_ended(shared.post("NOOP"))
    shared.stop("projector")
    jobs = shared.post_many(5, "NOOP")
    assert all(shared.job(job_id)["id"] == job_id for job_id in jobs)
    retried = shared.post("FLAKY", {"times": 1})
    shared.until_ended(*jobs)
    assert [shared.job(job_id)["status"] for job_id in jobs] == ["completed"] * 5
    shared.until(lambda: shared.job(retried)["attempts"] == 1 and shared.job(retried)["error"] is not None)
    assert shared.job(retried)["status"] == "pending"
    assert _rows(shared, [*jobs, retried]) == []
    assert shared.http.get("/health").json()["parts"]["projector"]["lag"] > 0

    shared.start("projector")
    shared.until_ended(retried)
    shared.until(
        lambda: sorted(_rows(shared, [*jobs, retried])) == [("completed", 1)] * 5 + [("completed", 2)],
        saw=lambda: _rows(shared, [*jobs, retried]),
    )


def test_another_dispatcher_takes_over_from_a_dead_one_and_no_entry_is_there_twice(shared: Service) -> None:
    shared["dispatcher"].until_said("leading")
    shared.start("dispatcher 2")
    with shared.posting() as posted:
        posted.until_more(50)
        shared["dispatcher"].kill()
        died_at = time.monotonic()
        shared["dispatcher 2"].until_said("leading")
        took = time.monotonic() - died_at
        posted.until_more(50)
    assert took < 10, took

    created = [one.position for one in shared.log(*posted.accepted) if one.version == 1]
    shared.until_queued(*posted.accepted)
    assert [entry_id for entry_id, _ in shared.entries()] == [f"{position}-0" for position in created]

    shared.start("worker")
    shared.until_ended(*posted.accepted)
    for job_id in posted.accepted[:5] + posted.accepted[-5:]:
        assert shared.history(job_id) == ["Created", "Started", "Completed"]


def _rows(service: Service, job_ids: list[str]) -> list[tuple[str, int]]:
    return [
        (status, attempts)
        for status, attempts in service.ask("select status, attempts from jobs where id = any(%s::uuid[])", job_ids)
    ]


def test_a_queue_of_another_log_is_told_once_and_the_relay_goes_on_when_it_is_gone(shared: Service) -> None:
    ours = str(shared.redis.hget("jobledger:relay", "log"))
    shared.redis.hset("jobledger:relay", "log", "0190f5fe-0000-4000-8000-00000000000a")
    dispatchers = [each for each in shared.processes.values() if each.kind == "dispatcher" and each.is_running]
    shared.until(lambda: any(each.said("the relay stands") for each in dispatchers))
    [leader] = [each for each in dispatchers if each.said("the relay stands")]  # the others stand by
    said = leader.until_said("the relay stands")
    assert (said["level"], said["code"]) == ("error", "foreign_queue")
    job_id = shared.post("NOOP")  # which waits
    shared.redis.hset("jobledger:relay", "log", ours)
    leader.until_said("the relay goes on")
    shared.start("worker")
    shared.until_ended(job_id)
    assert [line["event"] for each in dispatchers for line in each.lines].count("the relay stands") == 1
