"""Jobs found and followed over HTTP, while the real processes run them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

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


def ids_of_all_pages(service: Service, query: str) -> list[str]:
    found: list[str] = []
    path = f"/jobs?{query}"
    while path:
        page = service.http.get(path).json()
        found += [job["id"] for job in page["jobs"]]
        path = page["next"]
    return found
