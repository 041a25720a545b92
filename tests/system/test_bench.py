"""The bench works: all that it can measure without other people's programs, so small that its figures say nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report import BEGIN, END
from benchmarks.results import load_all
from benchmarks.works import ALL, large

pytestmark = pytest.mark.usefixtures("unmeasured")

_ROOT = Path(__file__).parents[2]
_NAMES = [work.name for work in [*ALL, *large.ALL]]
# One of each kind: what is left out here is made of the same pieces.
_WANTED = ["post", "end-to-end", "drain", "latency", "exports", "append", "rebuild", "verify", "refill", "large-find"]


@pytest.mark.timeout(300)
def test_the_bench_measures_and_reports_everything_that_needs_no_rivals(server_home: Path, tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    command = [sys.executable, "-P", "-m", "benchmarks", "--small", "--without-rivals", "--only", *_WANTED]
    where = ["--results", str(results), "--page", str(page), "--link", "results", "--home", str(server_home / "bench")]

    done = subprocess.run([*command, *where], cwd=_ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    measured = {result.name: result for result in load_all(results, _NAMES)}
    assert set(measured) == set(_WANTED)
    for result in measured.values():
        assert result.contenders, result.name
        assert all(run.value > 0 for figures in result.contenders for run in figures.runs), result
        assert ET.parse(results / f"{result.name}.svg").getroot().tag.endswith("svg")
        assert f"![{result.title}](results/{result.name}.svg)" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
