"""Appending to the log through the event store, held against a plain insert of the same rows."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench, Contender, Run, Work
from benchmarks.works.limits import write


def _run(kind: str, bench: Bench) -> Run:
    return write(kind, bench, batches=bench.sizes.append_batches, size=bench.sizes.append_batch)


WORK = Work(
    name="append",
    title="Append to the log, batches of 1,000",
    unit="events/s",
    per="event",
    contenders=[
        Contender(
            name="limit: one unnest insert",
            side="limit: one unnest insert",
            run=partial(_run, "insert"),
            settings="the same table and indexes, binary arrays, prepared; neither versions, order nor transitions are looked at",
        ),
        Contender(name="Jobledger", side="Jobledger", run=partial(_run, "append"), settings="PostgresEventLog.append"),
    ],
    about="One writer, 200 batches of Created, each durable before the next one is sent.",
)
