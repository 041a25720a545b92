"""A log, its read side and its queue, all real, for the tests of what the queue survives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.redis.claim_queue import RedisClaimQueue
from adapters.redis.connecting import connect
from adapters.redis.relay_queue import RedisRelayQueue
from commands.ports import Append, Appended
from commands.queue_ports import STREAMS
from commands.relay_events import Relay
from domain.events import Created, NewEvent, Priority, Started


class System:
    """A log, its read side and its queue."""

    def __init__(self, stack: AsyncExitStack, postgres_url: str, redis_url: str) -> None:
        self.postgres_url = postgres_url
        self.redis_url = redis_url
        self._stack = stack
        self.log = PostgresEventLog(postgres_url, application="tests")
        self.projection = PostgresJobsProjection(postgres_url)
        stack.push_async_callback(self.projection.aclose)
        self.redis = connect(redis_url, name="tests")
        stack.push_async_callback(self.redis.aclose)
        self.relay = self.new_relay()

    def new_relay(self, *, page: int = 1_000, far_behind: int = 10_000, queue: RedisRelayQueue | None = None) -> Relay:
        return Relay(queue=queue or RedisRelayQueue(self.redis), feed=self.new_feed(), page=page, far_behind=far_behind)

    def new_feed(self) -> PostgresQueueFeed:
        feed = PostgresQueueFeed(self.postgres_url)
        self._stack.push_async_callback(feed.aclose)
        return feed

    def worker(self, worker_id: str, *job_types: str, redis_url: str = "") -> RedisClaimQueue:
        queue = RedisClaimQueue(redis_url or self.redis_url, worker_id=worker_id, job_types=job_types)
        self._stack.push_async_callback(queue.aclose)
        return queue

    async def create(self, count: int, priority: Priority = "default") -> list[str]:
        event = Created(type="A", priority=priority, attempt=1, used=0, max_attempts=3)
        jobs = [str(uuid_utils.uuid7()) for _ in range(count)]
        answers = await self.log.append([Append(job, 0, [NewEvent(event, b"{}")], "tests") for job in jobs])
        assert all(isinstance(answer, Appended) for answer in answers)
        return jobs

    async def start(self, jobs: Sequence[str]) -> None:
        event = Started(attempt=1, worker="w")
        answers = await self.log.append([Append(job, 1, [NewEvent(event)], "w") for job in jobs])
        assert all(isinstance(answer, Appended) for answer in answers)

    async def project(self) -> None:
        while (page := await self.projection.fold_page()) is not None and page.before < page.after:
            pass

    async def queued(self) -> list[str]:
        """The job ids in the streams."""
        found = []
        for stream in STREAMS.values():
            raw: Any = await self.redis.xrange(stream)
            found += [fields["job"] for _, fields in raw]
        return found

    async def has_blocked_client(self) -> bool:
        """Whether somebody waits in a blocking read."""
        return bool((await self.redis.info("clients"))["blocked_clients"])


@asynccontextmanager
async def queue_system(postgres_url: str, redis_url: str) -> AsyncIterator[System]:
    """A System over empty servers, with the worker `w` registered."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("insert into workers (id) values ('w')")
    async with AsyncExitStack() as stack:
        made = System(stack, postgres_url, redis_url)
        await stack.enter_async_context(made.log)
        yield made


async def relay_all(relay: Relay) -> None:
    """Step until the relay says that there is no more."""
    for _ in range(1_000):
        if not await relay.step():
            return
    raise AssertionError("the relay never comes to an end")
