"""How fast one worker process works off no-op jobs that are queued, until all are recorded as done."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import redis

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import BenchFailed, Children, environment, until
from benchmarks.reference_service import Reference
from benchmarks.service import Service
from benchmarks.tools import HERE
from benchmarks.works import limits


def drain_service(kind: type[Service], workers: int, bench: Bench) -> Run:
    """The workers are stopped where they stand while the queue is filled, and wait for nothing else."""
    count = bench.sizes.drain if issubclass(kind, Jobledger) else bench.sizes.drain_slow
    parts = tuple(part for part in kind.kinds if part != "api")
    with kind(bench, workers=workers, parts=parts) as service:
        service.warm_up()
        service.pause_workers()
        service.fill(count)
        if (already := service.completed_in_table()) != bench.sizes.warm:
            raise BenchFailed(
                f"{already} jobs are completed before the drain begins, not {bench.sizes.warm}: who ran them?"
            )
        meter = Meter(service.groups)
        service.resume_workers()
        service.until_completed(count)
        cost = meter.read()
        if service.completed_in_table() != count + bench.sizes.warm:
            raise BenchFailed(f"{service.completed_in_table()} jobs are completed, not {count + bench.sizes.warm}")
        return Run(value=count / cost.seconds, cpu=per_job(cost, count), memory=service.memory)


def drain_rival(script: str, settings: dict[str, object], bench: Bench) -> Run:
    """A rival's script, which does what benchmarks/rivals/protocol.js says."""
    count = bench.sizes.drain
    with Children(bench.logs) as children:
        worker = children.start(
            "worker",
            rival_command(bench, script, "drain", bench.sizes.warm, count),
            environ=rival_environment(bench, settings),
        )
        worker.until_says("ready\n")
        bench.servers.checkpoint()
        meter = Meter({"worker": [worker.pid], **bench.servers.groups})
        worker.tell("go")
        worker.until_says("done\n")
        cost = meter.read()
        return Run(value=count / cost.seconds, cpu=per_job(cost, count))


def drain_celery(pool: tuple[str, ...], bench: Bench) -> Run:
    """Celery's worker is a program of its own, stopped where it stands (with its children) while the queue is filled."""
    count = bench.sizes.drain_slow
    environ = rival_environment(bench, {})
    with Children(bench.logs) as children, redis.Redis.from_url(environ["REDIS_URL"]) as client:

        def is_drained() -> bool:
            with client.pipeline(transaction=False) as asked:
                asked.llen("bench")
                asked.hlen("unacked")
                return not any(asked.execute())

        def fill(jobs: int) -> None:
            children.start("fill", rival_command(bench, "celery_rival.py", "fill", jobs), environ=environ).ended()

        worker = children.start("worker", celery_command(bench, *pool), environ=environ, cwd=HERE / "rivals")
        fill(bench.sizes.warm)
        until(is_drained, what="Celery has run the first jobs")
        worker.pause()
        fill(count)
        bench.servers.checkpoint()
        meter = Meter({"worker": [worker.pid], **bench.servers.groups})
        worker.resume()
        until(is_drained, what="Celery has run all jobs")
        cost = meter.read()
        return Run(value=count / cost.seconds, cpu=per_job(cost, count))


def rival_command(bench: Bench, script: str, *arguments: object) -> list[str | Path]:
    program = bench.tools.python if script.endswith(".py") else bench.tools.node
    assert program is not None
    return [program, HERE / "rivals" / script, *map(str, arguments)]


def celery_command(bench: Bench, *pool: str) -> list[str | Path]:
    assert bench.tools.python is not None
    options = ["--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat", "-O", "fair", *pool]
    return [bench.tools.python, "-m", "celery", "-A", "celery_rival", "worker", "-Q", "bench", *options]


def rival_environment(bench: Bench, settings: dict[str, object]) -> dict[str, str]:
    """With a new database and an empty Valkey."""
    url = bench.servers.make_database("bench")
    bench.servers.settle()
    return environment(
        DATABASE_URL=url,
        REDIS_URL=bench.servers.redis_url,
        NODE_ENV="production",
        C_FORCE_ROOT=os.getuid() == 0,
        **settings,
    )


def _rival(name: str, script: str, settings: dict[str, object], told: str) -> Contender:
    return Contender(
        name=name,
        side=name.partition(",")[0],
        run=partial(drain_rival, script, settings),
        settings=told,
        needs="python" if script.endswith(".py") else "node",
    )


WORK = Work(
    name="drain",
    title="Drain no-op jobs",
    unit="jobs/s",
    contenders=[
        *(
            Contender(
                name=f"{kind.name}, {workers} worker",
                side=kind.name,
                run=partial(drain_service, kind, workers),
                settings=kind.settings_told,
                needs=kind.needs,
            )
            for workers in (1, 2)
            for kind in (Reference, Jobledger)
        ),
        *(
            _rival(
                f"BullMQ alone{told}",
                "bullmq.js",
                {"CONCURRENCY": 100, "PIPELINING": pipelining},
                "concurrency 100, finished jobs removed, nothing in PostgreSQL",
            )
            for told, pipelining in (("", "no"), (", auto-pipelining", "yes"))
        ),
        _rival(
            "graphile-worker",
            "graphile.js",
            {"CONCURRENCY": 24},
            "local queue of 500, completions in batches, 24 at a time; finished jobs are deleted",
        ),
        *(
            _rival(
                f"PgQueuer, {told}",
                "pgqueuer_rival.py",
                {"BATCH": 1000, "CONNECTIONS": connections},
                "asyncpg, uvloop, batches of 1,000; finished jobs leave one log row",
            )
            for told, connections in (("one connection", 1), ("a pool of 4", 4))
        ),
        Contender(
            name="Celery",
            side="Celery",
            run=partial(drain_celery, ("--pool=solo",)),
            settings="Redis as broker, pool solo, prefetch 100, acks late, no results, no events",
            needs="python",
        ),
        limits.SQL,
        limits.VALKEY,
    ],
    about=(
        "One worker process (best of one and two for Jobledger and the reference); 100,000 jobs, or 20,000 for the reference and"
        " Celery. The limits are the same writes without a job system, in batches of 1,000."
    ),
)
