"""What is measured, one subject a file; `ALL` is in the order of docs/performance.md."""

from __future__ import annotations

from benchmarks.bench import Work
from benchmarks.works import append, batches, drain, end_to_end, exports, latency, memory, post, rebuild, refill, verify

ALL: list[Work] = [
    post.WITHOUT_WORKERS,
    post.WITH_EVERYTHING,
    end_to_end.WORK,
    drain.WORK,
    batches.WORK,
    latency.WORK,
    exports.WORK,
    append.WORK,
    rebuild.WORK,
    rebuild.UNDER_LOAD,
    verify.WORK,
    refill.WORK,
    memory.WORK,
]
