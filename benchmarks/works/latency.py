"""How long one job takes in an idle system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import Children
from benchmarks.reference_service import Reference
from benchmarks.service import Service, load_result
from benchmarks.tools import HERE
from benchmarks.works.drain import celery_command, rival_command, rival_environment


def service_latency(kind: type[Service], bench: Bench) -> Run:
    """POST, then GET again and again until it says `completed`."""
    with kind(bench) as service:
        service.warm_up()
        found = load_result(service.load("latency", count=bench.sizes.latency))
        return Run(value=found["p50"], more={"p99 ms": found["p99"]})


def rival_latency(script: str, settings: dict[str, object], bench: Bench) -> Run:
    """From before it is queued until its code is called, in one process."""
    with Children(bench.logs) as children:
        environ = rival_environment(bench, settings)
        child = children.start("rival", rival_command(bench, script, "latency", bench.sizes.latency), environ=environ)
        return _run_of(json.loads(child.ended().splitlines()[-1]))


def celery_latency(bench: Bench) -> Run:
    """From before it is queued until its result is there."""
    with Children(bench.logs) as children:
        environ = rival_environment(bench, {})
        children.start("worker", celery_command(bench, "--pool=solo"), environ=environ, cwd=HERE / "rivals")

        def taken(count: int) -> str:
            command = rival_command(bench, "celery_rival.py", "latency", count)
            return children.start("rival", command, environ=environ).ended()

        taken(min(20, bench.sizes.latency))
        return _run_of(json.loads(taken(bench.sizes.latency).splitlines()[-1]))


def _run_of(taken: Sequence[float]) -> Run:
    ordered = sorted(taken)
    p50, p99 = (ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 99))
    return Run(value=p50, more={"p99 ms": p99})


def _rival(name: str, script: str, settings: dict[str, object], told: str) -> Contender:
    return Contender(
        name=name,
        side=name,
        run=partial(rival_latency, script, settings),
        settings=told,
        needs="python" if script.endswith(".py") else "node",
    )


WORK = Work(
    name="latency",
    title="Latency on an idle system, p50",
    unit="ms",
    is_less_better=True,
    contenders=[
        *(
            Contender(
                name=kind.name,
                side=kind.name,
                run=partial(service_latency, kind),
                settings=kind.settings_told,
                needs=kind.needs,
            )
            for kind in (Reference, Jobledger)
        ),
        _rival("BullMQ alone", "bullmq.js", {"CONCURRENCY": 100}, "until its code is called"),
        _rival(
            "graphile-worker", "graphile.js", {"CONCURRENCY": 10}, "until its code is called; without the local queue"
        ),
        _rival("pg-boss", "pgboss.js", {"BATCH": 1, "CONCURRENCY": 1}, "until its code is called; LISTEN/NOTIFY on"),
        _rival("PgQueuer", "pgqueuer_rival.py", {"BATCH": 10}, "until its code is called"),
        Contender(
            name="Celery",
            side="Celery",
            run=celery_latency,
            settings="until its result is there; pool solo",
            needs="python",
        ),
    ],
    about=(
        "Jobledger and the reference: from before the POST until a GET says `completed`, 300 jobs one after another, all"
        " processes running. The others have no API: from before the job is queued until its code is called, in one process."
    ),
)
