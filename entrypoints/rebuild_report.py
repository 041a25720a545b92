"""How the outcome of `jobledger rebuild` reads, and its progress, on the standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from entrypoints.table_text import harmless
from projections.rebuild.rebuilding import SHOWN, Differences, Report, Stage, Wishes
from projections.rebuild.recounting import CountsReport
from projections.verify.read_table import sentence_of

_SAY_SECONDS = 5.0  # between two plain lines about one stage
_DOING = {
    "fold": "folding the log",
    "index": "making the indexes",
    "follow": "following the log",
    "compare": "comparing the tables",
    "count": "counting the log",
}


def as_text(report: Report, wishes: Wishes, *, seconds: float) -> str:
    """What differs, what was done, and how long it took: `seconds` in all."""
    lines = _differing(report.differences)
    if report.swapped:
        lines.append("jobs is the new table; the old one is " + ("dropped" if wishes.drop_old else "kept as jobs_old"))
    elif not report.differences.found:
        lines.append("jobs is what the log says; nothing was replaced (--dry-run)")
    elif wishes.compare_only:
        lines.append("jobs is not what the log says; nothing was replaced (--dry-run)")
    else:
        lines.append(
            "jobs is not what the log says; nothing was replaced: if it is to be, start again with --accept-differences"
        )
    making = report.seconds.get("fold", 0.0) + report.seconds.get("index", 0.0)
    stages = ", ".join(f"{stage} {took:.1f} s" for stage, took in report.seconds.items())
    lines.append(
        f"{report.jobs:,} jobs of {report.position:,} events in {seconds:.1f} s ({stages});"
        f" made at {report.position / max(making, 0.001):,.0f} events/s, indexes included"
    )
    return "\n".join(lines)


def counts_as_text(report: CountsReport, *, compare_only: bool, seconds: float) -> str:
    """The same of `jobledger rebuild stats`."""
    lines = [harmless(str(difference)) for difference in report.differing[:SHOWN]]
    if len(report.differing) > SHOWN:
        lines.append(f"… and {len(report.differing) - SHOWN:,} more")
    if report.checkpoint is not None:
        lines.append(report.checkpoint)
    if report.replaced:
        lines.append(
            "stats is what the log counts now; what differed is replaced" if report.found else "stats is counted anew"
        )
    elif not report.found:
        lines.append("stats is what the log counts; nothing was replaced (--dry-run)")
    elif compare_only:
        lines.append("stats is not what the log counts; nothing was replaced (--dry-run)")
    else:
        lines.append(
            "stats is not what the log counts; nothing was replaced: if it is to be, start again with --accept-differences"
        )
    lines.append(
        f"{report.amounts:,} counts of {report.position:,} events in {seconds:.1f} s"
        f" ({report.position / max(seconds, 0.001):,.0f} events/s)"
    )
    return "\n".join(lines)


def _differing(differences: Differences) -> list[str]:
    lines = [f"job {row.job_id}: {harmless(sentence_of(row))}" for row in differences.first]
    if differences.rows > len(lines):
        lines.append(f"… and {differences.rows - len(lines):,} more")
    if differences.rows:
        kinds = {"missing": differences.missing, "unknown to the log": differences.invented} | differences.columns
        told = ", ".join(f"{kind} ×{count:,}" for kind, count in kinds.items() if count)
        lines.append(f"{differences.rows:,} rows differ: {told}")
    if differences.checkpoint is not None:
        lines.append(differences.checkpoint)
    return lines


@contextmanager
def shown_progress(output: TextIO) -> Iterator[Callable[[Stage], None]]:
    """What to call with each stage: a bar where `output` is a terminal, else plain lines, a few seconds apart."""
    if not output.isatty():
        yield _plain_lines(output)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=output), transient=True) as bars:
        tasks = {}

        def show(stage: Stage) -> None:
            if stage.name not in tasks:
                tasks[stage.name] = bars.add_task(_DOING[stage.name], total=stage.total, unit=stage.unit)
            bars.update(tasks[stage.name], completed=stage.done, total=stage.total)

        yield show


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """As rich wants it."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "")


def _plain_lines(output: TextIO) -> Callable[[Stage], None]:
    began: dict[str, float] = {}
    said: dict[str, float] = {}

    def show(stage: Stage) -> None:
        now = time.monotonic()
        began.setdefault(stage.name, now)
        said.setdefault(stage.name, now)
        if now < said[stage.name] + _SAY_SECONDS:
            return
        said[stage.name] = now
        rate = stage.done / (now - began[stage.name])
        left = f", {(stage.total - stage.done) / rate:.0f} s left" if rate else ""
        output.write(
            f"{_DOING[stage.name]}: {stage.done:,} of {stage.total:,} {stage.unit}, {rate:,.0f} {stage.unit}/s{left}\n"
        )
        output.flush()

    return show
