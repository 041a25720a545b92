"""Jobs found and followed over HTTP, while the real processes run them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.system.service import Service


def test_lists_show_jobs_as_they_go_on_and_lose_none_while_others_are_posted(shared: Service) -> None:
    shared.start("worker")
    failed = shared.post("CSV_EXPORT", {"data": "invalid"})
    earlier = shared.post_many(25, "NOOP")
    shared.until_ended(*earlier)
    shared.until_ended(failed, status="failed")

    shared.until(lambda: failed in ids_of_all_pages(shared, "status=failed"))
    shared.until(lambda: set(earlier) <= set(ids_of_all_pages(shared, "status=completed&limit=500")))
    with shared.posting() as posted:
        shared.until(lambda: len(posted.accepted) >= 10)
        listed = ids_of_all_pages(shared, "limit=3")
        shared.until(lambda: len(posted.accepted) >= 20)
    assert len(listed) == len(set(listed))
    assert [job_id for job_id in listed if job_id in {failed, *earlier}] == [*earlier[::-1], failed]
    shared.until_ended(*posted.accepted)


def test_an_export_is_had_over_http_with_the_digest_that_its_job_recorded(shared: Service) -> None:
    shared.start("worker")
    rows = [{"id": number, "name": f"name {number}"} for number in range(20_000)]
    export, other = shared.post("CSV_EXPORT", {"data": rows}), shared.post("NOOP")
    shared.until_ended(export, other)

    answer = shared.http.get(f"/jobs/{export}/result")
    result = shared.job(export)["result"]
    assert (answer.status_code, len(answer.content)) == (200, result["bytes"])
    assert hashlib.sha256(answer.content).hexdigest() == result["sha256"]
    rest = shared.http.get(f"/jobs/{export}/result", headers={"range": "bytes=-9", "if-range": answer.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, answer.content[-9:])
    assert shared.http.get(f"/jobs/{other}/result").json() == "done"


def test_who_prefers_to_wait_is_answered_when_the_job_ends(shared: Service) -> None:
    shared.start("worker")
    gate = shared.gate()
    job_id = shared.post("GATED", {"gate": str(gate)})
    with ThreadPoolExecutor(30) as threads:
        waiting = [threads.submit(shared.http.get, f"/jobs/{job_id}", headers={"prefer": "wait=60"}) for _ in range(30)]
        shared.until_begun(job_id)
        assert not any(answer.done() for answer in waiting)
        gate.touch()
        answers = [answer.result() for answer in waiting]
    assert {answer.json()["status"] for answer in answers} == {"completed"}
    assert {answer.headers["preference-applied"] for answer in answers} == {"wait=60"}

    created = shared.http.post("/jobs", json={"type": "NOOP", "payload": None}, headers={"prefer": "wait=60"})
    assert (created.status_code, created.json()["job"]["result"]) == (201, "done")


def test_who_waits_when_the_api_stops_is_answered_with_what_there_is(shared: Service) -> None:
    job_id = shared.post("NOOP")  # and no worker
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(shared.http.get, f"/jobs/{job_id}", headers={"prefer": "wait=60"})
        listens = "select 1 from pg_stat_activity where application_name = %s"
        shared.until(lambda: shared.ask(listens, "jobledger api listen") != [])
        shared.stop("api")
        answer = waiting.result()
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    shared.start("api", "worker")
    shared.until_ended(job_id)


@pytest.mark.parametrize("job_type", ["HALF_WAY", "HALF_WAY_PROCESS"])
def test_how_far_a_running_job_is_can_be_seen_until_it_ends(shared: Service, job_type: str) -> None:
    shared.start("worker")
    gate = shared.gate()
    job_id = shared.post(job_type, {"gate": str(gate)})

    told: list[dict[str, str]] = []
    with shared.http.stream("GET", f"/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as stream:
        for message in messages_of(stream):
            told.append(message)
            if message["event"] == "progress":
                assert shared.job(job_id)["progress"] == json.loads(message["data"])
                gate.touch()
            if message["event"] == "Completed":
                break

    assert [message["event"] for message in told] == ["Created", "Started", "progress", "Completed"]
    progress = json.loads(told[2]["data"])
    assert (progress["attempt"], progress["fraction"], progress["note"]) == (1, 0.5, "half of it is done")
    assert "id" not in told[2]
    assert "progress" not in shared.job(job_id)
    shared.until(lambda: shared.ask("select job_id from progress") == [])


def test_streams_that_are_cut_off_and_resumed_show_all_that_happened_once_and_in_order(shared: Service) -> None:
    shared.start("worker")
    begin = int(shared.ask("select coalesce(max(position), 0) from events")[0][0])
    seen: list[tuple[int, str]] = []
    cuts = 0

    def follow() -> None:
        nonlocal cuts
        while not over.is_set():
            last = str(seen[-1][0] if seen else begin)
            headers = {"accept": "text/event-stream", "last-event-id": last}
            try:
                with shared.http.stream("GET", "/events", headers=headers) as stream:
                    read_some(stream)
            except httpx.HTTPError:
                over.wait(0.05)  # the API is away
            cuts += 1

    def read_some(stream: httpx.Response) -> None:
        position, event = 0, ""
        for number, line in enumerate(stream.iter_lines()):
            name, _, value = line.partition(": ")
            position = int(value) if name == "id" else position
            event = value if name == "event" else event
            if name == "data":
                seen.append((position, event))
            if over.is_set() or number > 40:
                return

    over = threading.Event()
    following = threading.Thread(target=follow)
    following.start()
    try:
        posted = shared.post_many(40, "NOOP")
        shared.until_ended(*posted)
        shared.stop("api")
        shared.start("api")
        more = shared.post_many(20, "NOOP")
        shared.until_ended(*more)
        head = int(shared.ask("select max(position) from events")[0][0])
        shared.until(lambda: bool(seen) and seen[-1][0] >= head, saw=lambda: seen[-3:])
    finally:
        over.set()
        shared.post("NOOP")  # so that the stream has something to say, and its reader looks up
        following.join()
    in_log = shared.ask(
        "select position, type from events where position > %s and position <= %s order by 1", begin, head
    )
    assert [pair for pair in seen if pair[0] <= head] == in_log
    assert cuts > 3


def messages_of(stream: httpx.Response) -> Iterator[dict[str, str]]:
    """The fields of each message that holds data."""
    fields: dict[str, str] = {}
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield fields
            fields = {}
        else:
            fields = {}


def ids_of_all_pages(service: Service, query: str) -> list[str]:
    found: list[str] = []
    path = f"/jobs?{query}"
    while path:
        page = service.http.get(path).json()
        found += [job["id"] for job in page["jobs"]]
        path = page["next"]
    return found
