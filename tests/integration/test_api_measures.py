"""What an API process counts of its answers: by template and never by path, whichever way they went."""

from __future__ import annotations

from commands.measures import RequestMeasures
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader

_JOB = {"type": "CSV_EXPORT", "payload": 1}


async def test_answers_are_counted_by_route_method_and_kind_of_status() -> None:
    measures = RequestMeasures()
    async with client_of(make_api(FakeEventLog(), FakeHealthReader(), measures=measures)) as client:
        created = (await client.post("/jobs", json=_JOB)).json()["jobId"]
        await client.post("/jobs", json=_JOB)
        await client.post("/jobs", json={"type": "NOPE"})
        for path in (
            f"/jobs/{created}",
            "/jobs/0190f5fe-7c00-7a00-8000-000000000000",
            "/jobs/no-id",
            "/jobs",
            "/livez",
        ):
            await client.get(path)
        await client.head(f"/jobs/{created}")
        await client.get(f"/jobs/{created}/events")
        await client.post(f"/jobs/{created}/cancel")
        await client.options("/jobs")
        for number in range(3):
            await client.get(f"/made/up/{number}")
            await client.request(f"METHOD{number}", "/jobs")
            await client.put("/jobs", json=_JOB)

    counted = {
        route: {f"{digit}xx": count for digit, count in enumerate(answers.statuses) if count}
        for route, answers in measures.routes.items()
    }
    assert counted == {
        ("/jobs", "POST"): {"2xx": 2, "4xx": 1},
        ("/jobs", "GET"): {"2xx": 1},
        ("/jobs", "OPTIONS"): {"2xx": 1},
        ("/jobs/{id}", "GET"): {"2xx": 1, "4xx": 2},
        ("/jobs/{id}", "HEAD"): {"2xx": 1},
        ("/jobs/{id}/events", "GET"): {"2xx": 1},
        ("/jobs/{id}/cancel", "POST"): {"2xx": 1},
        ("/livez", "GET"): {"2xx": 1},
        ("other", "GET"): {"4xx": 3},
        ("other", "other"): {"4xx": 6},
    }
    assert all(sum(answers.statuses) == sum(answers.seconds.counts) for answers in measures.routes.values())


async def test_an_answer_that_says_that_the_log_is_away_counts_as_one() -> None:
    measures = RequestMeasures()
    log = FakeEventLog()
    log.away = True
    async with client_of(make_api(log, FakeHealthReader(), measures=measures)) as client:
        await client.post("/jobs", json=_JOB)
        await client.get("/jobs/0190f5fe-7c00-7a00-8000-000000000000/events")

    assert measures.of("/jobs", "POST").statuses[5] == 1
    assert measures.of("/jobs/{id}/events", "GET").statuses[5] == 1
