"""How the outcome of `jobledger verify` reads: for people, or as one JSON document. And its progress, on the standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from projections.verify.checks import CHECKS, SHOWN, Violation
from projections.verify.verification import Report, Stage

_SAY_SECONDS = 5.0  # between two plain lines about progress


def as_json(report: Report) -> str:
    """One JSON document; violations beyond the first few of a check are counted only."""
    document: dict[str, Any] = {
        "from": report.first,
        "to": report.last,
        "events": report.events,
        "digest": f"sha256:{report.digest}",
        "holds": report.findings.total == 0,
        "checks": [
            {
                "name": name,
                "promise": promise,
                "checked": name not in report.unchecked,
                "violations": report.findings.counts[name],
                "first": [_plain(violation) for violation in report.findings.first(name)],
            }
            for name, promise in CHECKS.items()
        ],
        "seconds": {name: round(seconds, 3) for name, seconds in report.seconds.items()},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def as_text(report: Report) -> str:
    """A line a check, its first violations below it, and the digest."""
    lines = []
    for name, promise in CHECKS.items():
        count = report.findings.counts[name]
        state = "not checked" if name in report.unchecked else "holds" if count == 0 else f"BROKEN ×{count:,}"
        lines.append(f"{name}  {state:<12} {promise}")
        shown = report.findings.first(name)
        lines += [f"      {_where(violation)}: {violation.sentence}" for violation in shown]
        if count > len(shown):
            lines.append(f"      … and {count - len(shown):,} more")
    rates = ", ".join(
        f"{name} in {seconds:.1f} s ({report.events / max(seconds, 0.001):,.0f} events/s)"
        for name, seconds in report.seconds.items()
    )
    total = report.findings.total
    lines += [
        "",
        f"{report.events:,} events, positions {report.first:,} to {report.last:,}; {rates}",
        f"digest sha256:{report.digest}",
        "all hold"
        if total == 0
        else f"{total:,} {'violation' if total == 1 else 'violations'} (up to {SHOWN} of each check are shown)",
    ]
    return "\n".join(lines)


@contextmanager
def shown_progress(output: TextIO) -> Iterator[Callable[[Stage], None]]:
    """What to call with each stage: a bar where `output` is a terminal, else a plain line every few seconds."""
    if not output.isatty():
        yield _plain_lines(output)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=output), transient=True) as bars:
        tasks = {}

        def show(stage: Stage) -> None:
            if stage.name not in tasks:
                tasks[stage.name] = bars.add_task(stage.name, total=stage.total)
            bars.update(tasks[stage.name], completed=stage.done)

        yield show


def _plain_lines(output: TextIO) -> Callable[[Stage], None]:
    say_at = time.monotonic() + _SAY_SECONDS

    def show(stage: Stage) -> None:
        nonlocal say_at
        if time.monotonic() >= say_at:
            say_at = time.monotonic() + _SAY_SECONDS
            output.write(f"verifying {stage.name}: {stage.done:,} of {stage.total:,} events\n")
            output.flush()

    return show


def _where(violation: Violation) -> str:
    if not violation.job_id:
        return f"position {violation.position}" if violation.position else "database"
    place = f"job {violation.job_id} version {violation.version}"
    return f"{place} position {violation.position}" if violation.position else place


def _plain(violation: Violation) -> dict[str, object]:
    return {
        "check": violation.check,
        "jobId": violation.job_id or None,
        "version": violation.version or None,
        "position": violation.position or None,
        "sentence": violation.sentence,
    }
