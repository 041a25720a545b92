"""The tables and plots of docs/performance.md, made from the results; what stands around them is written by people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import Figures
from benchmarks.plots import bars, number_text
from benchmarks.results import Result, save

BEGIN, END = "<!-- measured: made by `make bench`, not by hand -->", "<!-- end of what was measured -->"


class NoPlace(Exception):
    """The page has no place for what was measured."""


def write_report(results: Sequence[Result], *, page: Path, directory: Path, link: str) -> None:
    """Put the plots into `directory` and all tables between the marks of `page`; `link` leads from the page to the plots."""
    for result in results:
        (directory / f"{result.name}.svg").write_text(bars(result))
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{report(results, link=link)}\n{END}{after}")


def report(results: Sequence[Result], *, link: str) -> str:
    """Everything as Markdown: an overview, then each work, then what it was measured on."""
    sections = [_overview(results), *(_section(result, link) for result in results), _conditions(results)]
    return "\n".join(section for section in sections if section)


def _overview(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        ours, theirs = result.best("Jobledger"), result.best("reference")
        if ours is None or theirs is None:
            continue
        cpu = f"{ours.cpu:.3f} : {theirs.cpu:.3f} ms" if ours.runs[0].cpu and theirs.runs[0].cpu else ""
        rows.append(
            f"| [{result.title}](#{_anchor(result.title)}) | {number_text(theirs.median)} {result.unit} |"
            f" {number_text(ours.median)} {result.unit} | {ours.median / theirs.median:.2f} × | {cpu} |"
        )
    if not rows:
        return ""
    head = ["| work | reference | Jobledger | ratio | CPU, Jobledger : reference |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(["### Beside the reference", "", *head, *rows, ""])


def _section(result: Result, link: str) -> str:
    is_spent = any(figures.runs and figures.runs[0].cpu for figures in result.contenders)
    more = list(dict.fromkeys(name for figures in result.contenders for name in figures.typical("more")))
    head = ["contender", result.unit, "least – most", *more]
    if is_spent:
        head += [f"ms CPU a {result.per}", "of which"]
    lines = [
        f"### {result.title}",
        "",
        f"{result.about} Median of {result.sizes.runs}.",
        "",
        f"![{result.title}]({link}/{result.name}.svg)",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
    ]
    lines += [f"| {' | '.join(_cells(figures, more, is_spent=is_spent))} |" for figures in result.contenders]
    memory = [(figures.name, figures.typical("memory")) for figures in result.contenders]
    if any(used for _, used in memory):
        told = "; ".join(f"{name}: {_listed(used, '{:.0f}')}" for name, used in memory if used)
        lines += ["", f"Memory of a process at its peak, MiB. {told}."]
    settings = [f"{figures.name}: {figures.settings}" for figures in result.contenders if figures.settings]
    if settings:
        lines += ["", "Settings. " + "; ".join(dict.fromkeys(settings)) + "."]
    return "\n".join([*lines, ""])


def _cells(figures: Figures, more: Sequence[str], *, is_spent: bool) -> list[str]:
    least, most = figures.spread
    extra = figures.typical("more")
    cells = [figures.name, number_text(figures.median), f"{number_text(least)} – {number_text(most)}"]
    cells += [number_text(extra[name]) if name in extra else "" for name in more]
    if is_spent:
        cells += [f"{figures.cpu:.4f}" if figures.runs[0].cpu else "", _listed(figures.typical("cpu"), "{:.4f}")]
    return cells


def _conditions(results: Sequence[Result]) -> str:
    lines = ["### Measured on", ""]
    told: dict[str, list[str]] = {}
    for result in results:
        conditions = (
            f"{result.machine['processor']}, {result.machine['memory']}, {result.machine['system']}. "
            + "; ".join(f"{name}: {text}" for name, text in result.servers.items())
            + ". Versions: "
            + ", ".join(f"{name} {version}" for name, version in result.versions.items())
            + "."
        )
        told.setdefault(conditions, []).append(f"{result.name} ({result.measured_at})")
    for conditions, works in told.items():
        lines += [f"- {', '.join(works)}: {conditions}"]
    return "\n".join([*lines, ""])


def _listed(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


def _anchor(title: str) -> str:
    # As GitHub makes it: lower case, hyphens for spaces, no punctuation.
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


__all__ = ["BEGIN", "END", "report", "save", "write_report"]
