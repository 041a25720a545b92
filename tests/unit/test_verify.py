"""The parts of verifying that need no database: pages and digest, findings, both folds, finding the unreadable, the report."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from itertools import permutations

import pytest
from msgspec.structs import replace

from domain.job import Job, fold
from entrypoints import verify_report
from entrypoints.verify_report import as_json, as_text, shown_progress
from projections.verify.checks import CHECKS, SHOWN, Findings, Violation
from projections.verify.log import PAGE, LogDigest, pages
from projections.verify.ports import UnreadableData
from projections.verify.read_table import judge_folds
from projections.verify.verification import Report, Stage, isolate
from tests.properties.histories import seeded_history


def test_pages_cover_each_position_once_and_begin_where_the_digest_needs_them() -> None:
    assert list(pages(1, 0)) == []
    assert list(pages(1, 1)) == [(1, 1)]
    assert list(pages(1, PAGE + 1)) == [(1, PAGE), (PAGE + 1, PAGE + 1)]
    assert list(pages(PAGE - 1, 2 * PAGE)) == [(PAGE - 1, PAGE), (PAGE + 1, 2 * PAGE)]


def test_the_digest_waits_for_pages_that_come_late() -> None:
    parts = [(first, last, bytes([number]) * 32) for number, (first, last) in enumerate(pages(7, 3 * PAGE))]
    seen = set()
    for order in permutations(parts):
        digest = LogDigest(7)
        for part in order:
            digest.add(*part)
        seen.add(digest.hex)
    assert len(seen) == 1


def test_findings_keep_the_first_by_position_and_count_all() -> None:
    findings = Findings()
    for position in range(500, 0, -1):
        findings.add([Violation(check="A1", position=position, sentence="x")])
    assert findings.counts["A1"] == findings.total == 500
    assert [v.position for v in findings.first("A1")] == list(range(1, SHOWN + 1))


@pytest.mark.parametrize(
    "changed", [{"used": 77}, {"result": b"another"}, {"worker": "nobody"}, {"queued_position": 3}, {"tags": ("x",)}]
)
def test_folds_that_differ_in_any_column_are_reported(changed: dict[str, object]) -> None:
    history = seeded_history(1, jobs=5, commands=40)
    by_python = {job_id: fold(history.of_job(job_id)) for job_id in history.job_ids()}
    good = [job for job in by_python.values() if job is not None]
    events = [event for job_id in by_python for event in history.of_job(job_id)]
    assert list(judge_folds(events, good)) == []

    [violation] = judge_folds(events, [replace(good[0], **changed), *good[1:]])

    assert violation.check == "R3"
    assert violation.job_id == good[0].id
    assert violation.sentence.endswith(f"differ in {next(iter(changed))}")
    [missing] = judge_folds(events, good[1:])
    assert missing.job_id == good[0].id


def test_a_stream_that_has_no_fold_is_left_to_the_check_for_that() -> None:
    history = seeded_history(1, jobs=1, commands=4)
    folded: list[Job] = []
    assert list(judge_folds(history.recorded[1:], folded)) == []


@pytest.mark.parametrize("bad", [[], ["j0"], ["j99"], ["j3", "j4", "j50"], [f"j{n}" for n in range(100)]])
async def test_what_cannot_be_read_is_found_among_many(bad: list[str]) -> None:
    ids = [f"j{number}" for number in range(100)]
    asked = 0

    async def ask(left_out: Sequence[str]) -> None:
        nonlocal asked
        asked += 1
        for job_id in {*ids, "known"} - set(left_out):
            if job_id in {*bad, "known"}:
                raise UnreadableData(f"{job_id} is bad")

    found = await isolate(ids, ask, ["known"])
    assert [job_id for job_id, _ in found] == bad
    assert all(problem == f"{job_id} is bad" for job_id, problem in found)
    assert asked <= 1 + 2 * 7 * max(1, len(bad))


def test_the_report_names_each_check_and_shows_the_first_violations() -> None:
    findings = Findings()
    findings.add(
        Violation(check="S3", position=p, job_id="j1", version=2, sentence="Failed follows Created") for p in range(25)
    )
    findings.add([Violation(check="P3", sentence="no trigger")])
    report = Report(
        first=1, last=25, events=25, digest="ab", findings=findings, seconds={"the log": 0.5}, unchecked=["L1"]
    )

    text = as_text(report)
    lines = text.splitlines()
    assert [line[:2] for line in lines if line[:2] in CHECKS] == list(CHECKS)
    assert "S3  BROKEN ×25   each event may follow the one before it" in lines
    assert "      job j1 version 2 position 7: Failed follows Created" in lines
    assert "      … and 5 more" in lines
    assert "      database: no trigger" in lines
    assert "L1  not checked  each job is over, or due in the future" in lines
    assert lines[-1] == "26 violations (up to 20 of each check are shown)"

    document = json.loads(as_json(report))
    by_name = {check["name"]: check for check in document["checks"]}
    assert by_name["S3"]["violations"] == 25
    assert len(by_name["S3"]["first"]) == 20
    assert by_name["P3"]["first"] == [
        {"check": "P3", "jobId": None, "version": None, "position": None, "sentence": "no trigger"}
    ]
    assert by_name["L1"]["checked"] is False
    assert document["holds"] is False


def test_progress_is_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_report, "_SAY_SECONDS", 0.0)
    output = io.StringIO()
    with shown_progress(output) as show:
        show(Stage("the log", 10_000, 1_200_000))
    assert output.getvalue() == "verifying the log: 10,000 of 1,200,000 events\n"


def test_progress_is_a_bar_on_a_terminal_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    output = Terminal()
    with shown_progress(output) as show:
        show(Stage("the log", 0, 100))
        show(Stage("the log", 100, 100))
        show(Stage("the jobs", 50, 100))
    assert "the jobs" in output.getvalue()
    assert output.getvalue().rstrip().endswith("\x1b[2K")
