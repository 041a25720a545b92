"""Celery over Redis: `fill COUNT` queues no-op jobs, `latency COUNT` waits for each one's result; the worker is `celery worker`.

Acknowledged after the job (else a worker that dies loses it, unlike with all others here); no results but for the latency.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

from celery import Celery

app = Celery("celery_rival", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "100")),
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
    task_default_queue="bench",
)


@app.task(name="noop")  # type: ignore[untyped-decorator]  # not installed where this is checked
def noop(number: int) -> None:
    """Nothing at all."""


def fill(count: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            noop.apply_async((7,), producer=producer)


def latencies(count: int) -> list[float]:
    taken = []
    for _ in range(count):
        queued = time.perf_counter()
        noop.apply_async((7,), ignore_result=False).get(interval=0.001)
        taken.append(1000 * (time.perf_counter() - queued))
        time.sleep(random.uniform(0.005, 0.025))
    return taken


def main(task: str, count: int) -> Any:
    return fill(count) if task == "fill" else print(json.dumps(latencies(count)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
