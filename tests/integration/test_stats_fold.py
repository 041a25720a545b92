"""The projection `stats` holds what can be counted in `jobs` and in the log, however the log was cut into pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.postgres.stats_projection import PostgresStatsProjection
from domain.errors import LogDamaged, UnknownEventType
from projections.runner import Runner
from tests.good_logs import count_all, project_all
from tests.properties.histories import seeded_history
from tests.real_log import Database, connected, head, insert_history
from tests.rebuilding import recounted

_COUNTED = """
    select case when status <> 'pending' then status when queued_position is null then 'waiting' else 'queued' end,
           type, priority, count(*)
    from jobs group by 1, 2, 3 order by 1, 2, 3"""
_STATES = """
    select measure, type, priority, amount from stats where width = 0 and measure <> 'since' and amount <> 0 order by 1, 2, 3"""
_QUEUED_SINCE = """
    select type, priority, floor(extract(epoch from e.recorded_at))::bigint, count(*)
    from jobs j join (select position, recorded_at from events) e on e.position = j.queued_position
    group by 1, 2, 3 order by 1, 2, 3"""
_SINCE = """
    select type, priority, start, amount from stats where measure = 'since' and amount <> 0 order by 1, 2, 3"""
# Of the jobs of the log itself: the event before each Started, and the Started before what closes it.
_TOOK = """
    select case when e.type = 'Started' then 'wait' else 'run' end,
           extract(epoch from e.recorded_at - b.recorded_at) * 1000, floor(extract(epoch from e.recorded_at))::bigint
    from events e
    join lateral (
        select * from events b where b.job_id = e.job_id and b.version < e.version and b.type <> 'CancelRequested'
        order by b.version desc limit 1
    ) b on true
    where e.type = 'Started' or b.type = 'Started' and e.type <> 'CancelRequested'"""


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        yield db


def rows(db: Database, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


@pytest.mark.parametrize(("seed", "page"), [(1, 50), (2, 13), (3, 7), (4, 2000)])
async def test_counts_are_those_of_jobs_and_of_the_log(postgres_url: str, db: Database, seed: int, page: int) -> None:
    insert_history(db, seeded_history(seed, jobs=150, commands=1500).recorded)
    await project_all(postgres_url)

    await count_all(postgres_url, page=page)

    assert rows(db, "select position from checkpoints where name = 'stats'") == [(head(db),)]
    assert rows(db, _STATES) == rows(db, _COUNTED)
    assert rows(db, _SINCE) == rows(db, _QUEUED_SINCE)
    for width in (10, 300):
        slots = f"floor(extract(epoch from recorded_at) / {width})::bigint * {width}"
        happened = (
            f"select type, {slots}, count(*) from events where type <> 'CancelRequested' group by 1, 2 order by 1, 2"
        )
        counted = (
            f"select measure, start, sum(amount)::bigint from stats where width = {width} and measure not in ('wait', 'run')"
            " group by 1, 2 order by 1, 2"
        )
        assert rows(db, counted) == rows(db, happened)
        took = sorted(
            (measure, at - at % width, max(1.0, float(milliseconds))) for measure, milliseconds, at in rows(db, _TOOK)
        )
        buckets = (
            f"select measure, start, bucket, sum(amount)::int from stats where width = {width} and measure in ('wait', 'run')"
            " group by 1, 2, 3"
        )
        counts = {(measure, start, bucket): amount for measure, start, bucket, amount in rows(db, buckets)}
        assert sum(counts.values()) == len(took)
        for measure, start, milliseconds in took:  # each stands in a bucket that holds it
            near = [
                key
                for key, left in counts.items()
                if left
                and key[:2] == (measure, start)
                and 2 ** (key[2] / 8) <= milliseconds * 1.000001 < 2 ** ((key[2] + 1) / 8) * 1.00001
            ]
            assert near, (measure, start, milliseconds)
            counts[min(near)] -= 1


async def test_counted_anew_in_pages_of_one_event_it_is_the_same(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(5, jobs=10, commands=100).recorded)
    everything = "select * from stats where amount <> 0 order by 1, 2, 3, 4, 5, 6"
    await count_all(postgres_url, page=10_000)
    whole = rows(db, everything)
    with db.transaction():  # as docs/following-jobs.md says
        db.execute("update checkpoints set position = 0 where name = 'stats'")
        db.execute("delete from stats")

    await count_all(postgres_url, page=1)

    assert rows(db, everything) == whole
    assert whole


async def test_what_is_older_than_is_asked_for_is_deleted_by_the_logs_own_time(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(6, jobs=60, commands=600).recorded)
    await project_all(postgres_url)

    await count_all(postgres_url, page=40, prune_after=1)

    [[newest]] = rows(db, "select floor(extract(epoch from max(recorded_at)))::bigint from events")
    assert rows(db, f"select count(*) from stats where width = 10 and start < {newest - 320}") == [(0,)]
    assert rows(db, f"select count(*) from stats where width = 300 and start < {newest - 4200}") == [(0,)]
    assert rows(db, "select count(*) from stats where width = 0 and amount = 0") == [(0,)]
    for width, kept in ((10, 310), (300, 3900)):  # what is asked for is all there
        happened = (
            f"select count(*) from events where type <> 'CancelRequested'"
            f" and floor(extract(epoch from recorded_at) / {width}) * {width} >= {newest - kept}"
        )
        counted = (
            f"select sum(amount)::bigint from stats where width = {width} and measure not in ('wait', 'run')"
            f" and start >= {newest - kept}"
        )
        assert rows(db, counted) == rows(db, happened)
    assert rows(db, _STATES) == rows(db, _COUNTED)


async def test_a_count_at_the_head_of_the_log_pauses_as_long_as_it_is_told(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(8, jobs=5, commands=30).recorded)
    projection = PostgresStatsProjection(postgres_url)
    try:
        runner = Runner(projection=projection, pause=0.5)
        assert [await runner.step() for _ in range(3)] == [0.5, 0.5, 0.5]
        assert runner.position == head(db)
    finally:
        await projection.aclose()


async def test_a_gap_stops_the_count_before_it(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(7, jobs=10, commands=60).recorded)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("delete from events where position = 15")

    with pytest.raises(LogDamaged, match="gap"):
        await count_all(postgres_url, page=7)

    assert rows(db, "select position from checkpoints where name = 'stats'") == [(14,)]


async def test_an_event_of_a_newer_release_stops_the_count_before_it(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(7, jobs=10, commands=60).recorded)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("update events set type = 'Paused' where position = 15")

    with pytest.raises(UnknownEventType) as raised:
        await count_all(postgres_url)

    assert (raised.value.event_type, raised.value.position) == ("Paused", 15)
    assert rows(db, "select position from checkpoints where name = 'stats'") == [(14,)]
    counted = rows(db, "select * from stats where amount <> 0 order by 1, 2, 3, 4, 5, 6")
    db.execute("delete from events where position >= 15")
    assert not (await recounted(postgres_url)).found
    assert rows(db, "select * from stats where amount <> 0 order by 1, 2, 3, 4, 5, 6") == counted
