"""What a process says of what it cannot reach: one line when it goes, one when it returns."""

from __future__ import annotations

from commands.outages import QUIET, Outages
from commands.ports import Unavailable
from tests.fakes.report import FakeReport


class Watch:
    """Outages with a clock of the test's own."""

    def __init__(self) -> None:
        self.report = FakeReport()
        self.time = 100.0
        self.outages = Outages(report=self.report, now=lambda: self.time)

    def fail(self, doing: str = "read", *, dependency: str = "Redis", text: str = "refused") -> None:
        self.outages.failed(Unavailable(text, dependency=dependency), doing=doing)

    def succeed(self, doing: str = "read") -> None:
        self.outages.succeeded(doing=doing)


def test_an_outage_is_told_once_and_so_is_its_end_with_how_long_it_lasted() -> None:
    watch = Watch()
    for _ in range(10):
        watch.fail(text="refused\nby the server, which says much more")
        watch.time += 0.5
    watch.succeed()
    watch.succeed()

    assert watch.report.lines == [
        ("dependency away", {"dependency": "Redis", "doing": "read", "error": "refused"}),
        ("dependency back", {"dependency": "Redis", "away_seconds": 5.0}),
    ]
    assert not watch.outages.are_any


def test_a_dependency_is_away_until_none_of_its_users_fails_any_more() -> None:
    watch = Watch()
    watch.fail("relay")
    watch.fail("mend")
    watch.succeed("relay")
    assert watch.report.events == ["dependency away"]
    assert (watch.outages.includes("relay"), watch.outages.includes("mend")) == (False, True)
    watch.succeed("mend")
    assert watch.report.events == ["dependency away", "dependency back"]


def test_each_dependency_is_told_of_by_itself() -> None:
    watch = Watch()
    watch.fail("relay", dependency="PostgreSQL")
    watch.fail("relay", dependency="Redis")  # which it reaches only after the other
    assert [(event, fields["dependency"]) for event, fields in watch.report.lines] == [
        ("dependency away", "PostgreSQL"),
        ("dependency back", "PostgreSQL"),
        ("dependency away", "Redis"),
    ]


def test_what_comes_and_goes_all_the_time_fills_no_log() -> None:
    watch = Watch()
    for _ in range(1_000):
        watch.fail()
        watch.time += 0.005
        watch.succeed()
        watch.time += 0.005
    assert len(watch.report.lines) <= 2 * (1 + 10 / QUIET)
    assert watch.report.events[:2] == ["dependency away", "dependency back"]


def test_an_outage_soon_after_another_is_told_when_it_lasts() -> None:
    watch = Watch()
    watch.fail()
    watch.succeed()
    watch.fail()
    assert len(watch.report.lines) == 2
    watch.time += QUIET
    watch.fail()
    watch.succeed()
    assert watch.report.lines[2:] == [
        ("dependency away", {"dependency": "Redis", "doing": "read", "error": "refused"}),
        ("dependency back", {"dependency": "Redis", "away_seconds": QUIET}),
    ]


def test_what_is_done_meanwhile_and_what_has_gone_before_are_told() -> None:
    watch = Watch()
    watch.outages.failed(Unavailable("refused", dependency="Redis"), doing="read", lasted=1.5, meanwhile="rowing")
    watch.succeed()
    assert [fields.get("meanwhile") for _, fields in watch.report.lines] == ["rowing", None]
    assert watch.report.lines[1][1]["away_seconds"] == 1.5


def test_what_is_no_servers_fault_is_told_by_what_was_being_done() -> None:
    watch = Watch()
    watch.fail("keep up", dependency="")
    assert watch.report.lines[0][1]["dependency"] == "keep up"
