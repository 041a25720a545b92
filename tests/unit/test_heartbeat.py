"""The heartbeat's thread: what it says, what it passes on, and when it ends the process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from commands import heartbeat as module
from commands.heartbeat import Heartbeat
from commands.liveness import HeartbeatAnswer
from commands.outages import Outages
from tests.fakes.dispatch import FakeDatabase
from tests.fakes.event_log import FakeEventLog
from tests.fakes.report import FakeReport
from tests.until import until_now


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_EVERY", 0.01)


class Beating:
    """A heartbeat of "w1" over a database in memory, and what it passed on."""

    def __init__(self, *, silent_for: Callable[[], float] = lambda: 0.0) -> None:
        self.log = FakeEventLog()
        self.database = FakeDatabase(self.log)
        self.heard: list[HeartbeatAnswer] = []
        self.names: list[str] = []
        self.ended = threading.Event()
        self.reports = FakeReport()
        self.heartbeat = Heartbeat(
            registry=self.database,
            name="w1",
            new_name=lambda: "w2",
            running=list,
            claims_from=lambda: "jobs",
            outages=Outages(report=self.reports),
            hear=self.heard.append,
            renewed=self.names.append,
            silent_for=silent_for,
            patience=lambda: 10.0,
            end_process=lambda seconds: self.ended.set(),
        )

    def __enter__(self) -> Beating:
        self.heartbeat.start()
        assert self.heartbeat.wait_until_registered(10.0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.heartbeat.stop()


def test_a_worker_beats_from_its_registration_to_its_end_and_leaves_no_row() -> None:
    with Beating() as beating:
        until_now(lambda: beating.database.rows["w1"] >= 3)
        assert beating.heard
        assert all(answer.alive for answer in beating.heard)
    assert beating.database.rows == {}


def test_a_worker_that_was_given_up_registers_anew_and_says_so() -> None:
    with Beating() as beating:
        beating.database.deregister("w1")
        until_now(lambda: beating.names == ["w2"])
        until_now(lambda: beating.database.rows.get("w2", 0) >= 1)
    assert beating.database.rows == {}


def test_an_outage_is_waited_out() -> None:
    with Beating() as beating:
        beating.log.away = True
        count = beating.database.rows["w1"]
        beating.log.away = False
        until_now(lambda: beating.database.rows["w1"] > count)
        assert beating.names == []


def test_a_loop_that_is_silent_for_too_long_ends_the_process() -> None:
    with Beating(silent_for=lambda: 11.0) as beating:
        assert beating.ended.wait(10.0)


def test_an_old_clock_at_a_single_look_ends_nothing() -> None:
    looks = iter([11.0])
    with Beating(silent_for=lambda: next(looks, 0.0)) as beating:
        until_now(lambda: beating.database.rows["w1"] >= 3)
        assert not beating.ended.is_set()
