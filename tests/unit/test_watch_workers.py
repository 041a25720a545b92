"""Who is taken for dead, and who is not."""

from __future__ import annotations

import pytest

from commands.ports import Append, Unavailable
from commands.watch_workers import LONGEST_GAP, WatchWorkers
from domain.events import NewEvent, Started, type_name
from domain.job import create
from domain.retry import RetryPolicy
from tests.fakes.dispatch import FakeDatabase
from tests.fakes.event_log import FakeEventLog

JOB_ID = "01a20bef-cdb2-70b4-b227-60191d72d90a"


class Watch:
    """A watcher with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.log = FakeEventLog()
        self.database = FakeDatabase(self.log)
        self.database.register("w1")
        self.watcher = WatchWorkers(
            table=self.database,
            log=self.log,
            policy=RetryPolicy(),
            actor="d1",
            liveness=15.0,
            now=lambda: self.now,
        )

    async def for_seconds(self, seconds: float, *, beating: bool = False, every: float = 1.0) -> list[str]:
        removed = []
        for _ in range(round(seconds / every)):
            self.now += every
            if beating:
                self.database.beat("w1", [], claims_from="streams")
            removed += (await self.watcher.step())[0]
        return removed


async def test_a_worker_that_stands_still_for_its_liveness_is_given_up() -> None:
    watch = Watch()
    assert await watch.for_seconds(15) == []
    assert await watch.for_seconds(1) == ["w1"]
    assert await watch.database.counters() == {}


async def test_a_worker_that_beats_is_kept_for_ever() -> None:
    assert await Watch().for_seconds(300, beating=True) == []


async def test_an_outage_of_the_database_makes_nobody_dead() -> None:
    watch = Watch()
    assert await watch.for_seconds(14) == []
    watch.log.away = True
    with pytest.raises(Unavailable):
        await watch.watcher.step()
    watch.log.away = False
    assert await watch.for_seconds(15) == []
    assert await watch.for_seconds(2) == ["w1"]


async def test_a_watcher_that_was_stopped_itself_has_not_watched() -> None:
    watch = Watch()
    await watch.for_seconds(1)
    watch.now += 3600
    assert await watch.for_seconds(1) == []
    assert await watch.for_seconds(14) == []
    assert await watch.for_seconds(2) == ["w1"]


async def test_looks_that_are_too_far_apart_prove_nothing() -> None:
    watch = Watch()
    assert await watch.for_seconds(100, every=LONGEST_GAP + 0.5) == []


async def test_a_sign_of_life_in_the_last_moment_saves_the_worker() -> None:
    watch = Watch()
    await watch.for_seconds(15)
    watch.database.beat("w1", [], claims_from="streams")
    assert await watch.for_seconds(10) == []


async def test_what_the_dead_leave_is_closed_as_lost_and_counts() -> None:
    watch = Watch()
    await watch.log.append(
        [Append(JOB_ID, 0, create(type="T", priority="default", payload=b"1", max_attempts=3), "anonymous")]
    )
    await watch.log.append([Append(JOB_ID, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")])

    await watch.for_seconds(16)

    job = await watch.log.find(JOB_ID)
    assert job is not None
    assert (job.state, job.outcome, job.used, job.status) == ("Attempted", "lost", 1, "pending")
    assert [type_name(event.event) for event in watch.log.events] == ["Created", "Started", "Attempted"]
