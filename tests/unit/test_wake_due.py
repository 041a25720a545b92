"""Waking what is due: never early, and once, however far the read side lags."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from commands.dispatch_ports import DueJobs
from commands.ports import Answer, Append
from commands.wake_due import PAGE, POLL, WakeDue
from domain.events import type_name
from domain.job import Job, create
from tests.fakes.dispatch import FakeDatabase
from tests.fakes.event_log import FakeEventLog

JOB_ID = "01a20bef-cdb2-70b4-b227-60191d72d90a"


def types(log: FakeEventLog) -> list[str]:
    return [type_name(event.event) for event in log.events]


async def delayed(log: FakeEventLog, job_id: str = JOB_ID, *, delay: float) -> Job:
    await log.append(
        [Append(job_id, 0, create(type="T", priority="high", payload=b"1", max_attempts=3, delay=delay), "anonymous")]
    )
    job = await log.find(job_id)
    assert job is not None
    return job


class LaggingJobs(Struct):
    """Shows the same due jobs again and again, as a projector that stands."""

    jobs: Sequence[Job]

    async def due(self, *, limit: int) -> DueJobs:
        return DueJobs(self.jobs[:limit], None)


async def test_a_job_is_woken_when_its_time_has_come_and_not_before() -> None:
    log = FakeEventLog()
    database = FakeDatabase(log)
    await delayed(log, delay=10.0)
    wake_due = WakeDue(waiting=database, log=log, actor="d1")

    assert await wake_due.step() == POLL
    assert types(log) == ["Created"]
    database.elapsed = timedelta(seconds=9.95)
    assert 0.0 < await wake_due.step() <= 0.051
    assert types(log) == ["Created"]
    database.elapsed = timedelta(seconds=10.0)
    await wake_due.step()
    assert types(log) == ["Created", "Queued"]
    assert sum(wake_due.late.counts) == 1
    due_at = log.events[0].recorded_at + timedelta(seconds=10.0)
    assert wake_due.late.total == (log.events[1].recorded_at - due_at).total_seconds()


async def test_a_lagging_read_side_wakes_nobody_twice() -> None:
    log = FakeEventLog()
    job = await delayed(log, delay=0.0)
    calls = []

    class CountingLog(FakeEventLog):
        async def append(self, commands: Sequence[Append]) -> list[Answer]:
            calls.append(len(commands))
            return await log.append(commands)

    wake_due = WakeDue(waiting=LaggingJobs([job]), log=CountingLog(), actor="d1")
    for _ in range(5):
        await wake_due.step()

    assert calls == [1]
    assert types(log) == ["Created", "Queued"]


async def test_a_job_that_somebody_else_has_woken_is_left_alone() -> None:
    log = FakeEventLog()
    job = await delayed(log, delay=0.0)
    await WakeDue(waiting=LaggingJobs([job]), log=log, actor="d1").step()
    await WakeDue(waiting=LaggingJobs([job]), log=log, actor="d2").step()
    assert types(log) == ["Created", "Queued"]


async def test_a_full_page_is_followed_by_the_next_at_once() -> None:
    log = FakeEventLog()
    jobs = [await delayed(log, f"00000000-0000-7000-8000-{n:012}", delay=0.0) for n in range(PAGE)]
    assert await WakeDue(waiting=LaggingJobs(jobs), log=log, actor="d1").step() == 0.0
