"""The places at which a fault test lets a process end itself: each is reached when it should be, and none without KILL_AT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from commands.attempt import AttemptContext, Outcome, Succeeded
from commands.ports import Answer, Append, Appended, Conflict
from commands.queue_ports import BEGINNING, Mark, QueueState
from domain.events import Completed, Created, Event, NewEvent, Started
from entrypoints.kill_points import PLACES, armed
from entrypoints.settings import InvalidSetting

_AT = datetime(2026, 1, 27, tzinfo=UTC)
_EVENTS: dict[str, Event] = {
    "Created": Created(type="T", priority="default", attempt=1, used=0, max_attempts=3),
    "Started": Started(attempt=1, worker="w"),
    "Completed": Completed(attempt=1, worker="w"),
}


class Log:
    """Answers as it is told."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        return list(self._answers)


def command(kind: str) -> Append:
    return Append("j", 0, [NewEvent(_EVENTS[kind])], "w")


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that this process would have sent to itself."""
    sent: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert pid == os.getpid()
        sent.append(number)

    monkeypatch.setattr(os, "kill", kill)
    return sent


async def test_a_place_after_an_append_is_reached_once_its_event_is_in_the_log(signals: list[int]) -> None:
    log = armed(Log(Appended(1, _AT)), "after-started")
    await log.append([command("Created")])
    assert signals == []
    await log.append([command("Started")])
    assert signals == [signal.SIGKILL]


async def test_it_is_not_reached_by_an_append_that_lost(signals: list[int]) -> None:
    log = armed(Log(Appended(1, _AT), Conflict("Started", 2, "Started")), "after-started")
    await log.append([command("Created"), command("Started")])
    assert signals == []


async def test_the_place_before_it_is_reached_without_an_answer(signals: list[int]) -> None:
    await armed(Log(Conflict("Started", 2, "Started")), "before-started").append([command("Started")])
    assert signals == [signal.SIGKILL]


async def test_the_third_time_can_be_meant_and_a_stop_instead_of_an_end(signals: list[int]) -> None:
    log = armed(Log(Appended(1, _AT)), "after-completed:3:STOP")
    for _ in range(5):
        await log.append([command("Completed")])
    assert signals == [signal.SIGSTOP]


async def test_code_that_reports_progress_is_in_the_middle_of_its_effect(signals: list[int]) -> None:
    seen: list[list[int]] = []

    class Runner:
        async def run(self, job_type: str, payload: bytes, context: AttemptContext, *, isolated: bool) -> Outcome:
            seen.append(signals[:])
            context.progress(0.5, "half")
            seen.append(signals[:])
            return Succeeded(b"null")

    context = AttemptContext("j", 1, _AT)
    await armed(Runner(), "in-effect").run("T", b"null", context, isolated=False)
    assert seen == [[], [signal.SIGKILL]]
    assert context.latest_progress == (0.5, "half")


async def test_an_idle_look_of_the_relay_is_no_relaying(signals: list[int]) -> None:
    class Queue:
        async def relay(self, believed: QueueState, mark: Mark, entries: Sequence[object]) -> None:
            return None

    queue = armed(Queue(), "before-relay")
    await queue.relay(QueueState(), BEGINNING, [])
    assert signals == []
    await queue.relay(QueueState(), BEGINNING, ["an entry"])
    assert signals == [signal.SIGKILL]


def test_a_port_without_the_place_stays_what_it_is() -> None:
    log = Log()
    assert armed(log, "after-read") is log


@pytest.mark.parametrize("wrong", ["after-lunch", "after-started:second", "after-started:1:HUP"])
def test_a_place_that_does_not_exist_is_refused_with_those_that_do(wrong: str) -> None:
    with pytest.raises(InvalidSetting, match="after-started, in-effect") as caught:
        armed(Log(), wrong)
    assert caught.value.name == "KILL_AT"


def test_every_place_belongs_to_a_port_that_wiring_arms() -> None:
    from adapters.job_types.runner import JobTypeRunner
    from adapters.postgres.dispatch import PostgresDispatch
    from adapters.postgres.event_log import PostgresEventLog
    from adapters.postgres.jobs_projection import PostgresJobsProjection
    from adapters.redis.claim_queue import RedisClaimQueue
    from adapters.redis.relay_queue import RedisRelayQueue

    ports = [
        *(JobTypeRunner, PostgresDispatch, PostgresEventLog),
        *(PostgresJobsProjection, RedisClaimQueue, RedisRelayQueue),
    ]
    for name, place in PLACES.items():
        assert any(hasattr(port, place.method) for port in ports), name


def test_without_the_setting_the_module_is_not_even_imported() -> None:
    asked = (
        "import sys; from entrypoints import wiring; from entrypoints.settings import Settings;"
        "wiring.jobs_projection(Settings(database_url='postgresql://nowhere/'));"
        "sys.exit('entrypoints.kill_points' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
