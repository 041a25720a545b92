"""PgQueuer, driven as protocol.js says. Batches of BATCH jobs, over asyncpg and uvloop; its tables as it makes them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

BATCH = int(os.environ["BATCH"])
CONNECTIONS = int(os.environ.get("CONNECTIONS", "1"))


async def main() -> None:
    task, *numbers = sys.argv[1:]
    driver = AsyncpgDriver(await asyncpg.connect(os.environ["DATABASE_URL"]))
    queries = Queries(driver)
    await queries.install()
    if task == "drain":
        warm, count = map(int, numbers)
        await fill(queries, warm)
        await drain(queries, warm)
        await fill(queries, count)
        print("ready", flush=True)
        assert sys.stdin.readline() == "go\n"
        await drain(queries, count)
        print("done", flush=True)
    else:
        print(json.dumps(await latencies(queries, int(numbers[0]))), flush=True)
    sys.stdout.flush()
    os._exit(0)  # what its manager leaves to be closed is of no interest


async def fill(queries: Queries, count: int) -> None:
    for done in range(0, count, 1000):
        size = min(1000, count - done)
        await queries.enqueue(["noop"] * size, [b'{"number":7}'] * size, [0] * size)
    await queries.driver.execute("analyze pgqueuer")


async def drain(queries: Queries, count: int) -> None:
    """Run until the table has none of the jobs any more; stopping the manager is not part of it."""
    manager = QueueManager(Queries(await driver_of_manager()))
    left = count
    all_ran = asyncio.Event()

    @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
    async def noop(job: Job) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            all_ran.set()

    running = asyncio.create_task(
        manager.run(dequeue_timeout=timedelta(seconds=1), batch_size=BATCH, mode=QueueExecutionMode.continuous)
    )
    running.add_done_callback(fail_if_it_failed)
    await all_ran.wait()
    while (await queries.driver.fetch("select exists (select from pgqueuer) as open"))[0]["open"]:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    manager.shutdown.set()


async def latencies(queries: Queries, count: int) -> list[float]:
    manager = QueueManager(Queries(await driver_of_manager()))
    heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
    async def noop(job: Job) -> None:
        heard.set_result(time.perf_counter())

    running = asyncio.create_task(manager.run(batch_size=BATCH))
    running.add_done_callback(fail_if_it_failed)
    await asyncio.sleep(0.5)
    taken = []
    for _ in range(count):
        heard = asyncio.get_running_loop().create_future()
        queued = time.perf_counter()
        await queries.enqueue("noop", b'{"number":7}')
        taken.append(1000 * (await heard - queued))
        await asyncio.sleep(random.uniform(0.005, 0.025))
    return taken


async def driver_of_manager() -> AsyncpgDriver | AsyncpgPoolDriver:
    url = os.environ["DATABASE_URL"]
    if CONNECTIONS == 1:
        return AsyncpgDriver(await asyncpg.connect(url))
    return AsyncpgPoolDriver(await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS))


def fail_if_it_failed(running: asyncio.Task[None]) -> None:
    if not running.cancelled() and (error := running.exception()):
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


uvloop.run(main())
