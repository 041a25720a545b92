"""CSV exports: from the first POST until the last file is there and its job `completed`."""

from __future__ import annotations

import json
import random
from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work, per_job
from benchmarks.cost import Meter
from benchmarks.jobledger_service import Jobledger
from benchmarks.processes import BenchFailed
from benchmarks.reference_service import Reference
from benchmarks.service import Service, load_result

_NAMES = (
    "Ærøskøbing, the",
    'Anna "Nan" Ng',
    "plain name",
    "two\nlines",
    "東京 – 大阪",
    "a,b,c",
    "naïve café",
    "O'Neill",
)


def payload(rows: int) -> dict[str, object]:
    """Six columns: whole numbers, fractions, plain texts, and texts with commas, quotes, line ends and all of unicode."""
    dice = random.Random(7)
    data = [
        {
            "id": number,
            "amount": round(dice.uniform(0, 10_000), 2),
            "email": f"user{number}@example.com",
            "name": _NAMES[number % len(_NAMES)],
            "comment": f"row {number}, seen {dice.randrange(100)} times",
            "count": dice.randrange(1_000_000),
        }
        for number in range(rows)
    ]
    return {"type": "CSV_EXPORT", "payload": {"data": data}}


def run(kind: type[Service], processes: int, bench: Bench) -> Run:
    """Rows a second, from POST to `completed`."""
    count, rows = bench.sizes.exports, bench.sizes.export_rows
    with kind(bench, apis=processes, workers=processes) as service:
        service.warm_up()
        body = json.dumps(payload(rows), ensure_ascii=False)
        few = max(1, count // 20)
        load_result(service.load("post", connections=8, count=few, body=body))
        service.until_completed(few)
        load = service.load("post", connections=8, count=count, body=body, waits=True)
        load.until_says("connected")
        meter = Meter(service.groups, load=True)
        load.tell("go")
        load_result(load)
        service.until_completed(count)
        cost = meter.read()
        files = list((bench.scratch / "output").glob("*.csv"))
        if len(files) != count + few or any(file.stat().st_size < rows * 40 for file in files):
            raise BenchFailed(f"{len(files)} files are there, or not all are whole")
        return Run(value=count * rows / cost.seconds, cpu=per_job(cost, count), memory=service.memory)


WORK = Work(
    name="exports",
    title="CSV exports of 1,000 rows × 6 columns",
    unit="rows/s",
    contenders=[
        Contender(
            name=f"{kind.name}, {processes} API + {processes} worker",
            side=kind.name,
            run=partial(run, kind, processes),
            settings=kind.settings_told,
            needs=kind.needs,
        )
        for processes in (1, 2)
        for kind in (Reference, Jobledger)
    ],
    about="500 exports posted on 8 connections (about 130 KB each), until all are `completed`. Jobledger neutralises formulas,"
    " hashes and fsyncs each file; the reference does not.",
)
