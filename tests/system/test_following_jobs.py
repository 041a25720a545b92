"""Jobs found and followed over HTTP, while the real processes run them."""

from __future__ import annotations

import hashlib

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


def ids_of_all_pages(service: Service, query: str) -> list[str]:
    found: list[str] = []
    path = f"/jobs?{query}"
    while path:
        page = service.http.get(path).json()
        found += [job["id"] for job in page["jobs"]]
        path = page["next"]
    return found
