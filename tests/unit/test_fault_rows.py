"""Each row of the fault suite has one short form, which `make test` runs, and stands in the table of docs/reliability.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_CASE = re.compile(r"^tests/faults/(test_\w+\.py)::test_(\d+a?)_", re.MULTILINE)
_LINE = re.compile(r"^\| (\d+a?) \|(.*)\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    """The rows of docs/reliability.md: number, and what is said of it."""
    found = dict(_LINE.findall((ROOT / "docs" / "reliability.md").read_text()))
    assert len(found) == 24
    return found


def collected(marks: str) -> list[tuple[str, str]]:
    """Files and row numbers of the cases that are chosen by their marks."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", "-m", marks, "tests/faults"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return _CASE.findall(done.stdout)


def test_make_test_runs_each_row_once(table: dict[str, str]) -> None:
    assert '-m "not long_form"' in (ROOT / "Makefile").read_text()
    assert sorted(row for _, row in collected("not long_form")) == sorted(table)


def test_make_fault_rows_runs_all_files_that_the_table_names(table: dict[str, str]) -> None:
    assert '-m "short_form or long_form" tests/faults' in (ROOT / "Makefile").read_text()
    cases = collected("short_form or long_form")
    named = {(file, row) for row, said in table.items() for file in re.findall(r"tests/faults/(test_\w+\.py)", said)}
    assert named == set(cases)
