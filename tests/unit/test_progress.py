"""What counts as progress, and how much of what attempts say of it comes to be shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from commands.attempt import AttemptContext
from commands.keep_progress import SHOW_EVERY, ProgressKeeper
from commands.ports import Unavailable
from commands.progress import Attempt
from commands.running_attempts import Running, RunningAttempts
from domain.job import Job
from domain.progress import checked_progress
from tests.fakes.event_log import FakeEventLog
from tests.fakes.progress_board import FakeProgressBoard

NOW = datetime(2026, 1, 27, tzinfo=UTC)
JOB = Job(
    id="j1",
    version=2,
    state="Started",
    type="T",
    priority="default",
    attempts=1,
    used=0,
    max_attempts=3,
    created_at=NOW,
    updated_at=NOW,
    worker="w",
)


class Bench:
    """A keeper over attempts whose code is this test."""

    def __init__(self) -> None:
        self.log = FakeEventLog()
        self.board = FakeProgressBoard(self.log)
        self.running = RunningAttempts(slots=10)
        self.keeper = ProgressKeeper(running=self.running, board=self.board)

    def begin(self, job_id: str, attempt: int = 1) -> Running:
        context = AttemptContext(job_id, attempt, NOW)
        running = Running(replace(JOB, id=job_id, attempts=attempt), context, timeout=10.0, now=0.0)
        self.running.add(running)
        return running

    def end(self, running: Running) -> None:
        running.code_ended()
        self.running.free_slot()
        self.running.remove(running)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("fraction", [-0.01, 1.01, 40, float("nan"), float("inf")])
def test_a_number_that_is_no_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="progress is a fraction from 0 to 1, not"):
        checked_progress(fraction, "")


@pytest.mark.parametrize(("fraction", "note"), [(None, ""), ([], ""), (0.5, None), (0.5, 7), (0.5, b"half")])
def test_what_is_no_number_or_no_text_is_refused(fraction: Any, note: Any) -> None:
    with pytest.raises(TypeError):
        checked_progress(fraction, note)


def test_what_rounding_put_beyond_an_end_is_that_end() -> None:
    assert checked_progress(sum([0.1] * 10) + 1e-9, "") == (1.0, "")
    assert checked_progress(-1e-12, "") == (0.0, "")


def test_any_note_can_be_kept() -> None:
    assert checked_progress(0, "a\0b\ud800")[1] == "a␀b\\ud800"
    assert checked_progress(0, "\ud800" * 300)[1] == ("\\ud800" * 300)[:200]
    assert checked_progress(0, "😀" * 201)[1] == "😀" * 200


async def test_of_whatever_was_said_since_the_last_look_the_newest_is_shown_for_all_attempts_at_once(
    bench: Bench,
) -> None:
    first, second, silent = (bench.begin(job_id) for job_id in ("j1", "j2", "j3"))
    for number in range(1000):
        first.context.progress(number / 1000, f"{number} rows")
        second.context.progress(1 - number / 1000)

    assert await bench.keeper.step() == SHOW_EVERY
    assert bench.board.shown == [({Attempt("j1", 1): (0.999, "999 rows"), Attempt("j2", 1): (1 - 0.999, "")}, set())]
    assert silent.context.latest_progress is None


async def test_nothing_is_written_where_nothing_is_new(bench: Bench) -> None:
    silent = bench.begin("j1")
    await bench.keeper.step()
    bench.end(silent)
    await bench.keeper.step()
    assert bench.board.shown == []

    talker = bench.begin("j2")
    talker.context.progress(0.5)
    await bench.keeper.step()
    talker.context.progress(0.5)
    await bench.keeper.step()
    assert len(bench.board.shown) == 1


async def test_a_job_that_is_over_before_anybody_looked_costs_nothing(bench: Bench) -> None:
    running = bench.begin("j1")
    running.context.progress(1.0)
    bench.end(running)

    await bench.keeper.step()

    assert bench.board.shown == []


async def test_what_is_over_is_taken_down_once(bench: Bench) -> None:
    running = bench.begin("j1", attempt=2)
    running.context.progress(0.5)
    await bench.keeper.step()
    bench.end(running)

    await bench.keeper.step()
    await bench.keeper.step()

    assert bench.board.shown[1:] == [({}, {Attempt("j1", 2)})]
    assert await bench.board.read(["j1"]) == {}


async def test_what_a_worker_runs_no_more_because_it_was_given_up_is_taken_down(bench: Bench) -> None:
    running = bench.begin("j1")
    running.context.progress(0.5)
    await bench.keeper.step()

    bench.running.abandon_all()
    await bench.keeper.step()

    assert await bench.board.read(["j1"]) == {}


async def test_while_the_database_is_away_nothing_is_kept_but_the_newest(bench: Bench) -> None:
    running, other = bench.begin("j1"), bench.begin("j2")
    running.context.progress(0.1)
    other.context.progress(0.1)
    bench.log.away = True
    for number in (2, 3):
        with pytest.raises(Unavailable):
            await bench.keeper.step()
        running.context.progress(number / 10)
    bench.end(other)

    bench.log.away = False
    await bench.keeper.step()

    # The first call may have had its effect before it failed: what ended meanwhile is taken down.
    assert bench.board.shown == [({Attempt("j1", 1): (0.3, "")}, {Attempt("j2", 1)})]
