"""Counts of parts of the log: how they add up, what is forgotten, and how a difference and a recount read."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from entrypoints.rebuild_command import CANNOT_REBUILD, rebuild
from entrypoints.rebuild_report import counts_as_text
from projections.counts import EVENTS, KEPT, CountDifference, Counted, CountsStanding, LogCount, cut, differences
from projections.rebuild.rebuilding import SHOWN
from projections.rebuild.recounting import CountsReport

_QUEUED = Counted("queued", "A", "high", 0, 0, 0)
_DONE = Counted("completed", "A", "high", 0, 0, 0)
_SLOT = Counted("Created", "A", "high", 10, 1_769_000_000, 0)
_REPORT = CountsReport(position=7, amounts=3, differing=[], checkpoint=None, replaced=True)


def test_what_parts_of_the_log_say_adds_up_and_what_comes_to_nothing_is_forgotten() -> None:
    count = LogCount()
    count.add({_QUEUED: 2, EVENTS: 2})
    count.add({_QUEUED: -2, _DONE: 2, _SLOT: 1, EVENTS: 4})
    assert count.events == 6
    assert count.at(_SLOT.start) == {_DONE: 2, _SLOT: 1}
    assert count.at(_SLOT.start + KEPT[10]) == {_DONE: 2, _SLOT: 1}
    assert count.at(_SLOT.start + KEPT[10] + 1) == {_DONE: 2}


@pytest.mark.parametrize(("after", "upto", "page"), [(0, 0, 3), (0, 3, 3), (0, 4, 3), (5, 17, 1), (9, 3, 2)])
def test_pages_cover_each_position_once(after: int, upto: int, page: int) -> None:
    covered = [position for start, end in cut(after, upto, page=page) for position in range(start + 1, end + 1)]
    assert covered == list(range(after + 1, upto + 1))


@pytest.mark.parametrize(("checkpoint", "goal"), [(None, 9), (4, 4), (12, 9), (-1, 0)])
def test_it_is_counted_up_to_where_stats_can_be(checkpoint: int | None, goal: int) -> None:
    assert CountsStanding(9, checkpoint, 0).goal == goal


def test_differences_are_told_in_words_and_in_one_order() -> None:
    wait, since = (
        Counted("wait", "A", "high", 300, 1_769_000_100, 17),
        Counted("since", "A", "high", 0, 1_769_000_000, 0),
    )
    found = list(differences({_QUEUED: 1, wait: 2, _DONE: 5}, {_DONE: 5, since: 3, wait: 1}))
    assert [str(difference) for difference in found] == [
        "queued of A at high is 1, by the log 0",
        "since of A at high in the second 2026-01-21T12:53:20Z is 0, by the log 3",
        "wait of bucket 17 of A at high in the 300 s from 2026-01-21T12:55:00Z is 2, by the log 1",
    ]


def test_the_outcome_of_a_recount_is_told() -> None:
    def said(report: CountsReport, *, compare_only: bool = False) -> list[str]:
        return counts_as_text(report, compare_only=compare_only, seconds=2.0).splitlines()

    assert said(_REPORT) == ["stats is counted anew", "3 counts of 7 events in 2.0 s (4 events/s)"]
    kept = replace(_REPORT, replaced=False)
    assert said(kept, compare_only=True)[0] == "stats is what the log counts; nothing was replaced (--dry-run)"
    differing = replace(kept, differing=[CountDifference(_DONE, 1, 2)] * (SHOWN + 5), checkpoint="no checkpoint")
    lines = said(differing)
    assert lines[: SHOWN + 2] == ["completed of A at high is 1, by the log 2"] * SHOWN + [
        "… and 5 more",
        "no checkpoint",
    ]
    assert "start again with --accept-differences" in lines[SHOWN + 2]
    assert said(differing, compare_only=True)[SHOWN + 2].endswith("(--dry-run)")
    assert "what differed is replaced" in said(replace(differing, replaced=True))[SHOWN + 2]


def test_of_stats_no_old_table_can_be_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuild("stats", drop_old=True) == CANNOT_REBUILD
    assert capsys.readouterr().err == "jobledger: --drop-old is for jobs; of stats nothing is kept\n"
