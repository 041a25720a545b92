"""What every measurement is given, and what it gives back; and the order in which they are made.

Contenders take turns, run by run, so that a machine whose speed drifts drifts for all of them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from benchmarks.cost import Cost
from benchmarks.servers import Servers
from benchmarks.tools import Tools
from entrypoints.cli import app

Needs = Literal["nothing", "node", "python", "rebuild"]  # what a contender cannot do without


class Sizes(Struct, frozen=True, kw_only=True):
    """How much of everything. The defaults are those of docs/performance.md."""

    runs: int = 5
    every_variant: bool = True  # else the first contender of each side alone
    seconds: float = 5.0  # of load, where a work is measured by time
    warm: int = 3_000  # jobs that go through before a measurement: compilers, plans and pools are warm
    end_to_end: int = 10_000
    drain_slow: int = 20_000  # for systems below 10,000 jobs a second
    drain: int = 100_000
    latency: int = 300
    exports: int = 500
    export_rows: int = 1_000
    append_batches: int = 200
    append_batch: int = 1_000
    history_jobs: int = 1_000_000  # for rebuild and verify
    queued: int = 100_000  # put back after Redis was emptied
    rounds: int = 5  # of the end-to-end work, for memory
    limits_jobs: int = 100_000
    large_jobs: int = 10_000_000


SMALL = Sizes(
    runs=1,
    every_variant=False,
    seconds=0.3,
    warm=20,
    end_to_end=100,
    drain_slow=100,
    drain=200,
    latency=5,
    exports=3,
    export_rows=50,
    append_batches=3,
    append_batch=50,
    history_jobs=500,
    queued=200,
    rounds=2,
    limits_jobs=200,
    large_jobs=500,
)


class Run(Struct, frozen=True, kw_only=True):
    """One run of one contender. `value` is in the unit of the work; `cpu`: milliseconds a job (or event) by process group; `load`
    among them is not the contender's own; `memory`: MiB at its peak, by process group."""

    value: float
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    more: dict[str, float] = {}


class Bench(Struct, frozen=True):
    """What a measurement is given. `scratch` is a directory for files, empty at the beginning of each run."""

    servers: Servers
    tools: Tools
    sizes: Sizes
    scratch: Path
    logs: Path


class Contender(Struct, frozen=True, kw_only=True):
    """One way to do a work. Of the contenders of one side, the best counts. `settings`: what it ran with, in words."""

    name: str
    side: str
    run: Callable[[Bench], Run]
    settings: str = ""
    needs: Needs = "nothing"


class Work(Struct, frozen=True, kw_only=True):
    """What is measured, of whom, and what has to be known to read it (`about`)."""

    name: str
    title: str
    unit: str
    contenders: Sequence[Contender]
    is_less_better: bool = False
    per: str = "job"  # what CPU time is told for
    about: str = ""


class Figures(Struct, frozen=True, kw_only=True):
    """All runs of one contender."""

    name: str
    side: str
    settings: str
    runs: list[Run] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(run.value for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most."""
        values = [run.value for run in self.runs]
        return min(values), max(values)

    def typical(self, part: Literal["cpu", "memory", "more"]) -> dict[str, float]:
        """The medians of a part, name by name."""
        names = dict.fromkeys(name for run in self.runs for name in getattr(run, part))
        return {
            name: statistics.median(getattr(run, part)[name] for run in self.runs if name in getattr(run, part))
            for name in names
        }

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU time by all process groups but the load generator's; the median."""
        return statistics.median(sum(spent for name, spent in run.cpu.items() if name != "load") for run in self.runs)


def per_job(cost: Cost, jobs: float) -> dict[str, float]:
    """Milliseconds of CPU time a job, by process group."""
    return {name: 1000 * seconds / jobs for name, seconds in cost.cpu.items()}


def measure(work: Work, bench: Bench, *, say: Callable[[str], None]) -> list[Figures]:
    """Run all contenders of a work that can run here, in turn, as often as is wanted."""
    able = [contender for contender in work.contenders if can_run(contender, bench.tools)]
    if not bench.sizes.every_variant:
        able = list({contender.side: contender for contender in reversed(able)}.values())[::-1]
    figures = {
        contender.name: Figures(name=contender.name, side=contender.side, settings=contender.settings)
        for contender in able
    }
    for number in range(1, bench.sizes.runs + 1):
        for contender in able:
            run = contender.run(bench)
            figures[contender.name].runs.append(run)
            spent = ", ".join(f"{name} {ms:.4f}" for name, ms in run.cpu.items())
            more = "".join(f", {name} {value:,.2f}" for name, value in run.more.items())
            say(
                f"  {number}: {contender.name}: {run.value:,.2f} {work.unit}{more}; ms CPU a {work.per}: {spent or '–'}"
            )
    return list(figures.values())


def can_run(contender: Contender, tools: Tools) -> bool:
    """Whether what it needs is here."""
    match contender.needs:
        case "nothing":
            return True
        case "node":
            return tools.node is not None
        case "python":
            return tools.python is not None
        case "rebuild":
            return "rebuild" in set(app)
