"""Whether processes grow: one set of them under load, round after round."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work
from benchmarks.cost import peak_memory_mib, resident_memory_mib
from benchmarks.jobledger_service import Jobledger
from benchmarks.reference_service import Reference
from benchmarks.service import Service, load_result


def _run(kind: type[Service], bench: Bench) -> Run:
    count = bench.sizes.end_to_end
    with kind(bench) as service:
        service.warm_up()
        resident: list[float] = []
        for _ in range(bench.sizes.rounds):
            load_result(service.load("post", connections=32, count=count))
            service.until_completed(count)
            resident.append(max(resident_memory_mib(child.pid) for part in kind.kinds for child in service.of(part)))
        peaks = {part: max(peak_memory_mib(child.pid) for child in service.of(part)) for part in kind.kinds}
        return Run(
            value=max(peaks.values()),
            memory=peaks,
            more={"MiB more after the last round than after the second": resident[-1] - resident[1]},
        )


WORK = Work(
    name="memory",
    title="Memory of the largest process",
    unit="MiB",
    is_less_better=True,
    contenders=[
        Contender(
            name=kind.name, side=kind.name, run=partial(_run, kind), settings=kind.settings_told, needs=kind.needs
        )
        for kind in (Reference, Jobledger)
    ],
    about="Five rounds of the end-to-end work, one after another, in the same processes.",
)
