"""GET /stats tells what the log holds: of all jobs, of each pair of type and priority, and of those beyond the last."""

from __future__ import annotations

from typing import Any

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.stats_reader import PostgresStatsReader
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.fakes.stats_reader import FakeStatsReader
from tests.good_logs import count_all, project_all
from tests.integration.test_api_postgres import api_over
from tests.properties.histories import seeded_history
from tests.real_log import Database, append_history, connected, head, register_workers, workers_of


async def append_real_history(url: str, db: Database, *, seed: int) -> None:
    history = seeded_history(seed, jobs=60, commands=500)
    register_workers(db, workers_of(history))
    async with PostgresEventLog(url, application="appending", patience=60.0) as log:
        # Not to its end: some jobs are still queued, some run.
        await append_history(log, history.appends[: len(history.appends) // 2])


def by_status(db: Database, where: str = "true") -> dict[str, int]:
    counted: dict[str, int] = dict(
        db.execute(f"select status, count(*)::int from jobs where {where} group by 1").fetchall()
    )
    return {name: counted.get(name, 0) for name in ("pending", "processing", "completed", "failed", "cancelled")}


async def test_an_empty_service_has_nothing_and_says_so(postgres_url: str) -> None:
    async with api_over(postgres_url) as client:
        response = await client.get("/stats")
    told = response.json()
    assert (response.status_code, told["position"], told["lag"], told["pairs"], told["rest"]) == (200, 0, 0, [], None)
    assert set(told["total"]["jobs"].values()) == {0}
    assert told["total"]["queue"] == {"depth": 0, "waiting": 0, "oldestSeconds": None}


async def test_it_tells_what_the_log_holds(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        await append_real_history(postgres_url, db, seed=21)
        await project_all(postgres_url)
        async with api_over(postgres_url) as client:
            assert (await client.get("/stats")).json()["lag"] == head(db)  # nothing is counted yet
            await count_all(postgres_url)
            told = (await client.get("/stats")).json()

        assert (told["position"], told["lag"], told["rest"]) == (head(db), 0, None)
        assert told["total"]["jobs"] == by_status(db)
        [[queued, waiting, oldest]] = db.execute(
            "select count(queued_position)::int, count(*) filter (where status = 'pending' and queued_position is null)::int,"
            " extract(epoch from clock_timestamp() - (select min(e.recorded_at) from jobs q join events e"
            " on e.position = q.queued_position))::float8 from jobs"
        ).fetchall()
        queue = told["total"]["queue"]
        assert (queue["depth"], queue["waiting"]) == (queued, waiting)
        assert oldest - 5 < queue["oldestSeconds"] < oldest + 1.001  # told to the second in which it was queued
        happened: dict[str, int] = dict(db.execute("select type, count(*)::int from events group by 1").fetchall())
        ends = sum(happened.get(name, 0) for name in ("Completed", "Failed", "Attempted"))
        assert ends
        for minutes in ("1", "5", "60"):
            span = told["total"]["lately"][minutes]
            assert [span[name] for name in ("created", "started", "retried", "completed", "failed", "cancelled")] == [
                happened.get(name, 0)
                for name in ("Created", "Started", "Attempted", "Completed", "Failed", "Cancelled")
            ]
            assert abs(span["completedPerSecond"] - span["completed"] / span["seconds"]) < 0.001
            for took in (span["wait"], span["run"]):
                assert 0 < took["p50"] <= took["p90"] <= took["p95"] <= took["p99"] < 60

        pairs = db.execute("select type, priority from jobs group by 1, 2 order by count(*) desc, 1, 2").fetchall()
        assert len(pairs) > 1
        assert [(pair["type"], pair["priority"]) for pair in told["pairs"]] == pairs
        for pair in told["pairs"]:
            assert pair["jobs"] == by_status(db, f"type = '{pair['type']}' and priority = '{pair['priority']}'")


async def test_pairs_beyond_those_that_are_told_apart_are_one(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        await append_real_history(postgres_url, db, seed=22)
        await count_all(postgres_url)
        pool = make_pool(postgres_url, size=1, application="stats test")
        async with pool:
            few, all_of_them = [await PostgresStatsReader(pool, pairs=pairs).read() for pairs in (1, 100)]

    def amounts(counts: Any) -> dict[tuple[str, int, int], int]:
        added: dict[tuple[str, int, int], int] = {}
        for count in counts.counts:
            if count.measure != "since":
                key = (count.measure, count.minutes, count.bucket)
                added[key] = added.get(key, 0) + count.amount
        return added

    assert len({(count.type, count.priority) for count in all_of_them.counts}) > 2
    assert len({(count.type, count.priority) for count in few.counts}) == 2
    assert (None, None) in {(count.type, count.priority) for count in few.counts}
    assert amounts(few) == amounts(all_of_them)


async def test_it_is_answered_503_while_postgresql_is_away() -> None:
    stats = FakeStatsReader()
    stats.counts = None
    async with client_of(make_api(FakeEventLog(), FakeHealthReader(), stats=stats)) as client:
        response = await client.get("/stats")
    assert response.status_code == 503
    assert response.headers["retry-after"]
