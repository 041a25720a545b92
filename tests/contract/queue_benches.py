"""The fake queue and the real one under one surface, for the suites that hold both to the same contract."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import Redis

from adapters.redis.claim_queue import RedisClaimQueue
from adapters.redis.connecting import connect
from adapters.redis.names import GROUP
from adapters.redis.relay_queue import RedisRelayQueue
from commands.ports import QueueEntry
from commands.queue_ports import STREAMS, ClaimQueue, Mark, RelayQueue
from domain.events import Priority
from tests.fakes.queue import FakeClaimQueue, FakeQueueServer, FakeRelayQueue

LOG = "0190f5fe-0000-4000-8000-00000000000a"
FOREIGN_POSITION = 1_769_000_000_000  # what `XADD *` gives: milliseconds, far beyond any position


def entry(position: int, priority: Priority = "default", *, type: str = "A", attempt: int = 1) -> QueueEntry:
    job_id = str(uuid.UUID(int=position + (7 << 76)))
    return QueueEntry(STREAMS[priority], f"{position}-0", job_id, 1, type, attempt)


class Bench(Protocol):
    """A queue, and what people do to it by hand."""

    relay_queue: RelayQueue

    def worker(self, worker_id: str, *job_types: str) -> ClaimQueue: ...

    async def flush(self) -> None: ...

    async def delete_stream(self, stream: str) -> None: ...

    async def destroy_group(self, stream: str) -> None: ...

    async def delete_entry(self, stream: str, entry_id: str) -> None: ...

    async def add_foreign(self, stream: str) -> None: ...

    async def length(self, stream: str) -> int: ...

    async def contents(self) -> list[QueueEntry]:
        """All that is in the two streams, by stream and id."""


async def fill(bench: Bench, *entries: QueueEntry) -> None:
    """Make the queue with these entries in it, or add them to it."""
    state = await bench.relay_queue.inspect()
    if not state.is_whole:
        state = await bench.relay_queue.reset(state, log_id=LOG)
    last = entries[-1]
    mark = Mark(int(last.entry_id.partition("-")[0]), last.job_id, last.version)
    assert await bench.relay_queue.relay(state, mark, entries) is None


class FakeBench:
    def __init__(self) -> None:
        self.server = FakeQueueServer()
        self.relay_queue: RelayQueue = FakeRelayQueue(self.server)

    def worker(self, worker_id: str, *job_types: str) -> ClaimQueue:
        return FakeClaimQueue(self.server, worker_id=worker_id, job_types=job_types)

    async def flush(self) -> None:
        self.server.flush()

    async def delete_stream(self, stream: str) -> None:
        del self.server.streams[stream]

    async def destroy_group(self, stream: str) -> None:
        self.server.streams[stream].has_group = False

    async def delete_entry(self, stream: str, entry_id: str) -> None:
        position, _, n = entry_id.partition("-")
        del self.server.streams[stream].entries[int(position), int(n)]

    async def add_foreign(self, stream: str) -> None:
        self.server.streams[stream].last = (FOREIGN_POSITION, 0)

    async def length(self, stream: str) -> int:
        return len(self.server.streams[stream].entries) if stream in self.server.streams else 0

    async def contents(self) -> list[QueueEntry]:
        return [
            found
            for name in STREAMS.values()
            if name in self.server.streams
            for found in self.server.streams[name].entries.values()
        ]


class RedisBench:
    def __init__(self, redis_url: str) -> None:
        self.url = redis_url
        self._workers: list[RedisClaimQueue] = []
        self.client: Redis = connect(redis_url, name="bench")
        self.relay_queue: RelayQueue = RedisRelayQueue(self.client)

    def worker(self, worker_id: str, *job_types: str) -> RedisClaimQueue:
        self._workers.append(RedisClaimQueue(self.url, worker_id=worker_id, job_types=job_types))
        return self._workers[-1]

    async def flush(self) -> None:
        await self.client.flushall()

    async def delete_stream(self, stream: str) -> None:
        await self.client.delete(stream)

    async def destroy_group(self, stream: str) -> None:
        await self.client.xgroup_destroy(stream, GROUP)

    async def delete_entry(self, stream: str, entry_id: str) -> None:
        assert await self.client.xdel(stream, entry_id) == 1

    async def add_foreign(self, stream: str) -> None:
        await self.client.xadd(stream, {"hello": "world"})  # its id is the time

    async def length(self, stream: str) -> int:
        return int(await self.client.xlen(stream))

    async def contents(self) -> list[QueueEntry]:
        found = []
        for name in STREAMS.values():
            raw: Any = await self.client.xrange(name)
            for entry_id, of in raw:
                if "job" not in of:
                    continue  # of add_foreign
                found.append(QueueEntry(name, entry_id, of["job"], int(of["version"]), of["type"], int(of["attempt"])))
        return found

    async def aclose(self) -> None:
        for worker in self._workers:
            await worker.aclose()
        await self.client.aclose()


@asynccontextmanager
async def redis_bench(redis_url: str) -> AsyncIterator[RedisBench]:
    bench = RedisBench(redis_url)
    try:
        yield bench
    finally:
        await bench.aclose()


def ids(entries: Sequence[QueueEntry]) -> list[tuple[str, str]]:
    return [(found.stream, found.entry_id) for found in entries]
