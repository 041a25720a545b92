"""Attempts that ended are closed together, and each is kept until the log has said what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import uuid_utils

from commands.attempt import AttemptContext, Errored, Outcome, Succeeded
from commands.closings import Closings
from commands.measures import AttemptMeasures
from commands.ports import Answer, Append, Appended, RejectedData
from commands.running_attempts import Running, RunningAttempts
from domain.events import CancelRequested, Completed, NewEvent, Started
from domain.job import create
from domain.retry import RetryPolicy
from tests.fakes.event_log import FakeEventLog
from tests.fakes.report import FakeReport
from tests.until import until


class Log(FakeEventLog):
    """Knows how many commands each append had; refuses results that say so."""

    def __init__(self) -> None:
        super().__init__()
        self.workers.add("w1")
        self.batches: list[int] = []

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        self.batches.append(len(commands))
        if any(new.content == b'"unfit"' for command in commands for new in command.events):
            fit = [c for c in commands if all(new.content != b'"unfit"' for new in c.events)]
            answered = iter(await super().append(fit))
            return [next(answered) if command in fit else RejectedData("no text") for command in commands]
        return await super().append(commands)


class Bench:
    def __init__(self) -> None:
        self.log = Log()
        self.report = FakeReport()
        self.running = RunningAttempts(slots=10_000)
        self.closings = Closings(
            running=self.running,
            log=self.log,
            policy=RetryPolicy(base=1.0, cap=60.0),
            report=self.report,
            measures=AttemptMeasures(),
            pause_after=lambda failures: 0.001 * failures,
        )

    async def attempt(self) -> Running:
        """One that runs."""
        job_id = str(uuid_utils.uuid7())
        for expected, events in (
            (0, create(type="T", priority="default", payload=b"1", max_attempts=3)),
            (1, [NewEvent(Started(attempt=1, worker="w1"))]),
        ):
            [answer] = await self.log.append([Append(job_id, expected, events, "w1")])
            assert isinstance(answer, Appended)
        self.log.batches.clear()
        job = await self.log.find(job_id)
        assert job is not None
        running = Running(job, AttemptContext(job_id, 1, job.created_at), timeout=5.0, now=0.0)
        self.running.add(running)
        running.begin()
        return running

    def end(self, running: Running, outcome: Outcome) -> None:
        running.code_ended()
        self.running.free_slot()
        self.closings.add(running, outcome, actor="w1")

    async def states(self, attempts: Sequence[Running]) -> list[str]:
        """After all are settled."""
        await until(lambda: len(self.running) == 0)
        jobs = [await self.log.find(running.job.id) for running in attempts]
        return [job.state for job in jobs if job is not None]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_ends_in_one_turn_of_the_loop_shares_an_append(bench: Bench) -> None:
    attempts = [await bench.attempt() for _ in range(50)]
    for running in attempts[:49]:
        bench.end(running, Succeeded(b"1"))
    await asyncio.sleep(0)
    bench.end(attempts[49], Succeeded(b"1"))
    assert await bench.states(attempts) == ["Completed"] * 50
    assert bench.log.batches == [49, 1]


async def test_large_results_do_not_make_one_large_append(bench: Bench) -> None:
    attempts = [await bench.attempt() for _ in range(6)]
    for running in attempts:
        bench.end(running, Succeeded(b'"' + b"x" * 2_000_000 + b'"'))
    assert await bench.states(attempts) == ["Completed"] * 6
    assert bench.log.batches == [3, 3]


async def test_while_the_log_is_away_outcomes_are_kept_and_then_written_once(bench: Bench) -> None:
    attempts = [await bench.attempt() for _ in range(3)]
    bench.log.away = True
    for running in attempts:
        bench.end(running, Succeeded(b"1"))
    await until(lambda: len(bench.log.batches) >= 2)
    assert len(bench.running) == 3
    bench.log.away = False
    assert await bench.states(attempts) == ["Completed"] * 3
    assert bench.report.lines == []


async def test_one_that_has_to_be_closed_another_way_holds_up_none_beside_it(bench: Bench) -> None:
    asked, unfit, good, abandoned = [await bench.attempt() for _ in range(4)]
    await bench.log.append([Append(asked.job.id, 2, [NewEvent(CancelRequested())], "somebody")])
    bench.running.abandon([abandoned.job.id])
    bench.end(asked, Errored(b'"boom"'))
    bench.end(unfit, Succeeded(b'"unfit"'))
    bench.end(good, Succeeded(b"1"))
    bench.end(abandoned, Succeeded(b"1"))
    assert await bench.states([asked, unfit, good]) == ["Cancelled", "Failed", "Completed"]
    assert await bench.states([abandoned]) == ["Started"]


async def test_an_attempt_that_somebody_else_closed_is_told_of(bench: Bench) -> None:
    running = await bench.attempt()
    [closed] = await bench.log.append([Append(running.job.id, 2, [NewEvent(Completed(1, "w1"), b"2")], "w1")])
    assert isinstance(closed, Appended)
    bench.end(running, Succeeded(b"1"))
    assert await bench.states([running]) == ["Completed"]
    assert bench.report.events == ["the attempt was no longer ours"]
