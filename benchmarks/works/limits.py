"""The limits of the parts: the same writes without a job system, by benchmarks.writing."""

from __future__ import annotations

import asyncio
from functools import partial

from adapters.postgres.migrate import migrate
from benchmarks.bench import Bench, Contender, Run, per_job
from benchmarks.cost import Meter
from benchmarks.processes import Children, environment, python
from benchmarks.tools import HERE
from domain.job import TRANSITIONS


def write(kind: str, bench: Bench, *, batches: int, size: int) -> Run:
    """Jobs (or events) a second in so many batches."""
    url = bench.servers.make_database("bench")
    asyncio.run(migrate(url, TRANSITIONS))
    bench.servers.settle()
    with Children(bench.logs) as children:
        where = bench.servers.redis_url if kind == "valkey" else url
        command = python("-m", "benchmarks.writing", kind, where, str(batches), str(size))
        child = children.start("client", command, environ=environment(), cwd=HERE.parent)
        child.until_says("ready\n")
        bench.servers.checkpoint()
        meter = Meter({"client": [child.pid], **bench.servers.groups})
        child.tell("go")
        child.until_says("done\n")
        cost = meter.read()
    return Run(value=batches * size / cost.seconds, cpu=per_job(cost, batches * size))


def _drain(kind: str, bench: Bench) -> Run:
    size = min(1_000, bench.sizes.limits_jobs)
    return write(kind, bench, batches=bench.sizes.limits_jobs // size, size=size)


SQL = Contender(
    name="limit: plain SQL",
    side="limit: plain SQL",
    run=partial(_drain, "sql"),
    settings="per 1,000 jobs: insert Started, insert Completed, update `jobs`; three commits",
)
VALKEY = Contender(
    name="limit: plain Valkey",
    side="limit: plain Valkey",
    run=partial(_drain, "valkey"),
    settings="per 1,000 jobs: XREADGROUP, then XACK and XDEL in one MULTI",
)
