"""Draining by calls that take up to 1,000 jobs at once: what bulk writers want."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Contender, Work
from benchmarks.jobledger_service import JobledgerBatches
from benchmarks.works.drain import drain_rival, drain_service

WORK = Work(
    name="batches",
    title="Drain by calls of up to 1,000 jobs",
    unit="jobs/s",
    contenders=[
        *(
            Contender(
                name=f"Jobledger, {workers} worker",
                side=JobledgerBatches.name,
                run=partial(drain_service, JobledgerBatches, workers),
                settings=JobledgerBatches.settings_told,
                needs=JobledgerBatches.needs,
            )
            for workers in (1, 2)
        ),
        Contender(
            name="pg-boss, batches of 1,000",
            side="pg-boss",
            run=partial(drain_rival, "pgboss.js", {"BATCH": 1000, "CONCURRENCY": 1}),
            settings="batchSize 1,000, burstWhenBatchFull; neither priorities nor order of creation are kept, which is faster",
            needs="node",
        ),
    ],
    about=(
        "One call of the handler for a batch. In pg-boss the whole batch succeeds or fails; in Jobledger each job has a"
        " result, or an error, and a history of its own."
    ),
)
