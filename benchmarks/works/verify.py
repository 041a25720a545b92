"""Checking a whole log: `jobledger verify`."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.processes import Children, environment, python
from benchmarks.works.rebuild import prepared_history


def _run(workers: int, bench: Bench) -> Run:
    url = prepared_history(bench)
    events = 3 * bench.sizes.history_jobs
    with Children(bench.logs) as children:
        meter = Meter(bench.servers.groups)
        began = time.perf_counter()
        command = python("-m", "jobledger", "verify", "--workers", str(workers))
        children.start("verify", command, environ=environment(DATABASE_URL=url)).ended()
        seconds = time.perf_counter() - began
        return Run(value=events / seconds, cpu=per_job(meter.read(), events))


WORK = Work(
    name="verify",
    title="Verify 1,000,000 jobs × 3 events",
    unit="events/s",
    per="event",
    contenders=[
        Contender(name=f"Jobledger, --workers {workers}", side="Jobledger", run=partial(_run, workers))
        for workers in (1, 2)
    ],
    about="All default checks, the start of the command included; all must hold.",
)
