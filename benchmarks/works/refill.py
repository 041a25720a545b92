"""How long it takes until a queue that Redis has lost is back."""

from __future__ import annotations

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import until


def _run(bench: Bench) -> Run:
    count = bench.sizes.queued
    with Jobledger(bench, parts=("dispatcher", "projector")) as service:
        service.fill(count)
        meter = Meter(service.groups)
        service.redis.flushall()
        until(
            lambda: service.redis.exists("default") == 1 and service.redis.xlen("default") == count,
            what="all is queued again",
        )
        cost = meter.read()
        return Run(value=cost.seconds, cpu=per_job(cost, count))


WORK = Work(
    name="refill",
    title="100,000 queued jobs put back after FLUSHALL",
    unit="s",
    is_less_better=True,
    contenders=[Contender(name="Jobledger", side="Jobledger", run=_run)],
    about="From FLUSHALL until the stream has all of them; up to a quarter of a second of it passes until it is noticed.",
)
