"""From the first of many POSTs until all of these jobs are `completed` in the table `jobs`."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import BenchFailed
from benchmarks.reference_service import Reference
from benchmarks.service import Service, load_result


def run(kind: type[Service], apis: int, workers: int, bench: Bench) -> Run:
    """Jobs a second, posted and completed, by so many processes."""
    count = bench.sizes.end_to_end
    with kind(bench, apis=apis, workers=workers) as service:
        service.warm_up()
        load = service.load("post", connections=32, count=count, waits=True)
        load.until_says("connected")
        meter = Meter(service.groups, load=True)
        load.tell("go")
        posted = load_result(load)
        service.until_completed(count)
        cost = meter.read()
        if service.completed_in_table() != count + bench.sizes.warm:
            raise BenchFailed(f"{service.completed_in_table()} jobs are completed, not {count + bench.sizes.warm}")
        return Run(
            value=count / cost.seconds,
            cpu=per_job(cost, count),
            memory=service.memory,
            more={"posted/s": count / posted["seconds"]},
        )


WORK = Work(
    name="end-to-end",
    title="End to end",
    unit="jobs/s",
    contenders=[
        Contender(
            name=f"{kind.name}, {apis} API + {workers} worker",
            side=kind.name,
            run=partial(run, kind, apis, workers),
            settings=kind.settings_told,
            needs=kind.needs,
        )
        for apis, workers in ((1, 1), (2, 2))
        for kind in (Reference, Jobledger)
    ],
    about="10,000 no-op jobs posted on 32 connections, until the last of them is `completed` in `jobs`.",
)
