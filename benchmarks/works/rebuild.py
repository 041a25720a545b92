"""Making the read table again from the log: alone against the best SQL statement, and what it costs those who use the service."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger, aged_database
from benchmarks.processes import Children, environment, python
from benchmarks.servers import connected
from benchmarks.service import DATABASE, load_result

_STEADY_RATE = 200  # requests a second, half of them POSTs
_SETTLING_SECONDS = 2.0

# The least that makes rows of plain histories; what makes it right for all histories is left out, which only makes it faster.
_FOLD = """
    create table limit_jobs as
    select
        job_id as id, max(version) as version, (array_agg(type order by version))[count(*)] as state,
        max(data ->> 'type') filter (where version = 1) as type,
        max(data ->> 'priority') filter (where version = 1) as priority,
        max((data ->> 'attempt')::int) filter (where type = 'Started') as attempts,
        max((data ->> 'used')::int) filter (where version = 1) as used,
        max((data ->> 'maxAttempts')::int) filter (where version = 1) as max_attempts,
        min(recorded_at) as created_at, max(recorded_at) as updated_at,
        null::text as worker, null::text as outcome, null::json as error,
        (array_agg(content order by version) filter (where type = 'Completed'))[1] as result,
        null::timestamptz as due_at, null::bigint as queued_position, null::text[] as tags
    from events group by job_id
"""
_INDEXES = (
    "alter table limit_jobs add primary key (id)",
    "create index on limit_jobs (due_at) where due_at is not null",
    "create index on limit_jobs (queued_position) where queued_position is not null",
    "create index on limit_jobs (worker) where worker is not null",
)
_BY_KEYS = ("set enable_hashagg = off", "set enable_seqscan = off")
_BY_HASH = ("set enable_indexscan = off", "set enable_sort = off", "set work_mem = '1GB'")


def prepared_history(bench: Bench) -> str:
    """Its URL, with nothing else under way."""
    name = aged_database(bench.servers, jobs=bench.sizes.history_jobs)
    bench.servers.settle()
    return bench.servers.url_of(name)


class Aged(Jobledger):
    """Jobledger on a copy of that database."""

    def _make_database(self) -> str:
        servers = self.bench.servers
        past = aged_database(servers, jobs=self.bench.sizes.history_jobs)
        return servers.make_database(DATABASE, template=past, is_large=True)


def statement(settings: tuple[str, ...], bench: Bench) -> Run:
    """Events a second by one statement, and one for each index."""
    url = prepared_history(bench)
    events = 3 * bench.sizes.history_jobs
    with connected(url) as db:
        for setting in ("set jit = off", "set maintenance_work_mem = '256MB'", *settings):
            db.execute(setting.encode())
        db.execute("drop table if exists limit_jobs")
        meter = Meter(bench.servers.groups)
        for work in (_FOLD, *_INDEXES):
            db.execute(work.encode())
        cost = meter.read()
        db.execute("drop table limit_jobs")
    return Run(value=events / cost.seconds, cpu=per_job(cost, events))


def rebuild(workers: int, bench: Bench) -> Run:
    """Events a second by `jobledger rebuild jobs`, from its start to its end."""
    url = prepared_history(bench)
    events = 3 * bench.sizes.history_jobs
    with Children(bench.logs) as children:
        meter = Meter(bench.servers.groups)
        began = time.perf_counter()
        child = children.start("rebuild", _command(workers), environ=environment(DATABASE_URL=url))
        child.ended()
        seconds = time.perf_counter() - began
        return Run(value=events / seconds, cpu=per_job(meter.read(), events))


def under_load(bench: Bench, *, is_rebuilding: bool) -> Run:
    """The slowest hundredth of POSTs and GETs at a steady rate while the read table is made again, or not."""
    with Aged(bench) as service, Children(bench.logs) as children:
        service.warm_up()
        load = service.load("steady", rate=_STEADY_RATE, seconds=max(3.0, 6 * bench.sizes.seconds))
        seconds = 0.0
        if is_rebuilding:
            time.sleep(_SETTLING_SECONDS if bench.sizes.seconds > 1 else 0.1)
            began = time.perf_counter()
            children.start("rebuild", _command(1), environ=environment(DATABASE_URL=service.url)).ended()
            seconds = time.perf_counter() - began
        found = load_result(load)
        more = {
            "GET p99 ms": found["get"]["p99"],
            "POST p50 ms": found["post"]["p50"],
            "GET p50 ms": found["get"]["p50"],
        }
        return Run(value=found["post"]["p99"], more=more | ({"rebuilt in s": seconds} if seconds else {}))


def _command(workers: int) -> list[str | Path]:
    return python("-m", "jobledger", "rebuild", "jobs", "--drop-old", "--workers", str(workers))


WORK = Work(
    name="rebuild",
    title="Rebuild `jobs` of 1,000,000 jobs × 3 events",
    unit="events/s",
    per="event",
    contenders=[
        Contender(
            name="limit: one statement, in key order",
            side="limit: one statement",
            run=partial(statement, _BY_KEYS),
            settings="create table as select … group by job_id over the primary key, then the indexes",
        ),
        Contender(
            name="limit: one statement, by hash",
            side="limit: one statement",
            run=partial(statement, _BY_HASH),
            settings="the same with a hash of all jobs in memory",
        ),
        *(
            Contender(
                name=f"Jobledger, --workers {workers}", side="Jobledger", run=partial(rebuild, workers), needs="rebuild"
            )
            for workers in (1, 2)
        ),
    ],
    about="Nothing else runs. Jobledger's includes the start of the command, following the log, the comparison with the old table"
    " and the swap.",
)
UNDER_LOAD = Work(
    name="rebuild-under-load",
    title="POST p99 while `jobs` is rebuilt with --workers 1",
    unit="ms",
    is_less_better=True,
    contenders=[
        Contender(name="no rebuild", side="no rebuild", run=partial(under_load, is_rebuilding=False)),
        Contender(
            name="rebuild running", side="rebuild running", run=partial(under_load, is_rebuilding=True), needs="rebuild"
        ),
    ],
    about="200 requests a second at random moments, POST and GET in turn, all processes running, 1,000,000 jobs there.",
)
