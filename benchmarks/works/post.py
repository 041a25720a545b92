"""POST /jobs as fast as 32 connections ask: by wrk where it is installed, else by this directory's own generator."""

from __future__ import annotations

import json
from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import BenchFailed, Child
from benchmarks.reference_service import Reference
from benchmarks.service import ALL, Service
from benchmarks.tools import HERE

CONNECTIONS = 32
ABOUT = "32 connections, each posting one small no-op job after another; with two API processes, 16 to each."


def run(kind: type[Service], parts: tuple[str, ...], processes: int, bench: Bench) -> Run:
    """Jobs accepted a second by so many API and worker processes."""
    with kind(bench, apis=processes, workers=processes, parts=parts) as service:
        service.warm_up()
        meter = Meter(service.groups, load=True)
        loads = [_load(service, port, CONNECTIONS // processes) for port in service.ports]
        found = [json.loads(load.ended().splitlines()[-1]) for load in loads]
        cost = meter.read()
        if any(answer.get("errors") for answer in found):
            raise BenchFailed(f"not every POST was answered with 201: {found}")
        jobs = sum(answer["answered"] for answer in found)
        return Run(
            value=sum(answer["answered"] / answer["seconds"] for answer in found),
            cpu=per_job(cost, jobs),
            memory=service.memory,
            more={"p50 ms": max(answer["p50"] for answer in found), "p99 ms": max(answer["p99"] for answer in found)},
        )


def _load(service: Service, port: int, connections: int) -> Child:
    bench = service.bench
    if bench.tools.wrk is None or bench.sizes.seconds < 1:  # wrk counts in whole seconds
        return service.load("post", ports=[port], connections=connections, seconds=bench.sizes.seconds)
    options = ["-t1", f"-c{connections}", f"-d{bench.sizes.seconds:.0f}s"]
    return service.start_load([bench.tools.wrk, *options, "-s", HERE / "post.lua", f"http://127.0.0.1:{port}"])


def contenders(parts: tuple[str, ...]) -> list[Contender]:
    """Both services with one and two API processes (and workers, where there are any)."""
    return [
        Contender(
            name=f"{kind.name}, {processes} API" + (f" + {processes} worker" if "worker" in parts else ""),
            side=kind.name,
            run=partial(run, kind, parts, processes),
            settings=kind.settings_told,
            needs=kind.needs,
        )
        for processes in (1, 2)
        for kind in (Reference, Jobledger)
    ]


_NO_WORKER = ("api", "dispatcher", "projector")

WITHOUT_WORKERS = Work(
    name="post",
    title="POST /jobs, workers off",
    unit="jobs/s",
    contenders=[
        *contenders(_NO_WORKER),
        Contender(name="Jobledger, 1 API alone", side="Jobledger, API alone", run=partial(run, Jobledger, ("api",), 1)),
    ],
    about=ABOUT + " Jobledger with dispatcher and projector, which do at once what they have to do.",
)
WITH_EVERYTHING = Work(
    name="post-busy",
    title="POST /jobs, everything running",
    unit="jobs/s",
    contenders=contenders(ALL),
    about=ABOUT
    + " Workers run the jobs meanwhile; the CPU time is that of the time of posting, told per job accepted.",
)
