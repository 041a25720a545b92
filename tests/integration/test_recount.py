"""`stats` counted anew: from any state to what the log says, beside projectors at work, and untouched where it must be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.postgres.recounting import PostgresRecounter
from adapters.postgres.stats_projection import PostgresStatsProjection
from domain.errors import LogDamaged
from projections.rebuild.recounting import Recount
from projections.runner import Runner
from tests.good_logs import append_for_real, count_all, many_histories, side_by_side
from tests.properties.histories import seeded_history
from tests.real_log import Database, connected, head, insert_history
from tests.rebuilding import recounted
from tests.verifying import broken, verified

_EVERYTHING = "select * from stats where amount <> 0 order by 1, 2, 3, 4, 5, 6"


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        yield db


def rows(db: Database, query: str = _EVERYTHING) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


@pytest.mark.parametrize("page", [1, 7, 1_000_000])
async def test_counted_anew_by_several_at_once_it_is_what_the_projector_counted(
    postgres_url: str, db: Database, page: int
) -> None:
    insert_history(db, seeded_history(31, jobs=20, commands=300).recorded)
    await count_all(postgres_url, page=50, prune_after=1)
    counted = rows(db)

    report = await recounted(postgres_url, page=page, workers=3)

    assert (report.found, report.replaced, report.position) == (False, True, head(db))
    assert rows(db) == counted
    assert report.amounts == len(counted)


_HARM = {
    "nothing is left": "truncate stats",
    "all is doubled": "update stats set amount = 2 * amount",
    "something unheard of": "insert into stats values ('completed', 'X', 'high', 0, 0, 0, 1)",
    "a checkpoint beyond the log": "update checkpoints set position = position + 100 where name = 'stats'",
    "a checkpoint before the log": "update checkpoints set position = -1 where name = 'stats'",
    "no checkpoint": "delete from checkpoints where name = 'stats'",
}


@pytest.mark.parametrize("harm", _HARM.values(), ids=_HARM.keys())
async def test_after_any_harm_it_is_made_right_when_that_is_asked_for(
    postgres_url: str, db: Database, harm: str
) -> None:
    await append_for_real(postgres_url, side_by_side(many_histories(3)))
    await recounted(postgres_url)  # which forgets what is too old
    counted = rows(db)
    db.execute(harm)
    harmed = rows(db), rows(db, "select * from checkpoints order by 1")
    assert "R4" in broken(await verified(postgres_url))

    for wishes in ({"compare_only": True}, {}):
        report = await recounted(postgres_url, **wishes)
        assert (report.found, report.replaced) == (True, False)
        assert (rows(db), rows(db, "select * from checkpoints order by 1")) == harmed
    assert (await recounted(postgres_url, accept_differences=True)).replaced

    await count_all(postgres_url)
    assert not (await recounted(postgres_url)).found
    assert rows(db) == counted
    assert broken(await verified(postgres_url)) == {}


async def test_it_is_exact_beside_projectors_that_go_on(postgres_url: str, db: Database) -> None:
    recorded = seeded_history(33, jobs=60, commands=900).recorded
    first = PostgresStatsProjection(postgres_url, page=9)
    second = PostgresStatsProjection(postgres_url, page=14)
    runners = [Runner(projection=first), Runner(projection=second)]
    try:
        for start in range(0, len(recorded), 200):
            insert_history(db, recorded[start : start + 200])

            async def fold() -> None:
                for _ in range(12):
                    await asyncio.gather(*(runner.step() for runner in runners))

            report, _ = await asyncio.gather(recounted(postgres_url, page=31), fold())
            assert report.differing == []
            assert report.replaced
    finally:
        await first.aclose()
        await second.aclose()
    await count_all(postgres_url)
    assert rows(db, "select position from checkpoints where name = 'stats'") == [(head(db),)]
    report = await recounted(postgres_url)
    assert (report.found, report.position) == (False, head(db))


async def test_while_somebody_holds_the_checkpoint_it_waits(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(34, jobs=5, commands=40).recorded)
    await count_all(postgres_url)
    with connected(postgres_url) as other:
        other.execute("begin")
        other.execute("select from checkpoints where name = 'stats' for update")
        waiting = asyncio.create_task(recounted(postgres_url))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        other.execute("rollback")
        assert (await waiting).replaced


async def test_a_damaged_log_is_not_counted(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(35, jobs=5, commands=40).recorded)
    await count_all(postgres_url)
    counted = rows(db)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("update events set type = 'Paused' where position = 7")
    with pytest.raises(LogDamaged, match="events of a newer release"):
        await recounted(postgres_url, accept_differences=True)
    db.execute("delete from events where position = 7")
    with pytest.raises(LogDamaged, match="gap"):
        await recounted(postgres_url, accept_differences=True)
    assert rows(db) == counted


async def test_cancelled_it_leaves_all_as_it_was(postgres_url: str, db: Database) -> None:
    insert_history(db, seeded_history(36, jobs=5, commands=40).recorded)
    await count_all(postgres_url)
    db.execute("update stats set amount = amount + 1")
    harmed = rows(db)
    async with PostgresRecounter(postgres_url) as counter:
        recount = Recount(table=counter, counters=[counter], progress=lambda stage: _cancel(), accept_differences=True)
        task = asyncio.create_task(recount.run())

        def _cancel() -> None:
            task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
    assert rows(db) == harmed
