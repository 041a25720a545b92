"""Draining by calls that take up to 1,000 jobs at once: what bulk writers want."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Contender, Work
from benchmarks.works.drain import drain_rival

# Jobledger has no job types yet that take batches; when it has, its contender belongs here: a drain_service whose fill queues
# jobs of such a type.
WORK = Work(
    name="batches",
    title="Drain by calls of up to 1,000 jobs",
    unit="jobs/s",
    contenders=[
        Contender(
            name="pg-boss, batches of 1,000",
            side="pg-boss",
            run=partial(drain_rival, "pgboss.js", {"BATCH": 1000, "CONCURRENCY": 1}),
            settings="batchSize 1,000, burstWhenBatchFull; neither priorities nor order of creation are kept, which is faster",
            needs="node",
        ),
    ],
    about="One call of the handler for a batch; the whole batch succeeds or fails in pg-boss.",
)
