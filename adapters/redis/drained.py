"""A look at the queue once everything is meant to be over: what its streams still hold. Reads alone."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from adapters.redis.names import GROUP, PARKED_STREAMS
from adapters.redis.translating import translated
from commands.queue_ports import STREAMS


class RedisQueueAuditor:
    """Implements projections.verify.ports.QueueAuditor over a client that repeats nothing (adapters.redis.connecting)."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # redis-py types its asynchronous answers as those of both kinds of client

    async def remains(self) -> list[str]:
        """See QueueAuditor.remains."""
        said = []
        with translated("look at the queue"):
            parked = sorted(await self._client.smembers(PARKED_STREAMS))
            for stream in [*STREAMS.values(), *parked]:
                if not await self._client.exists(stream):
                    continue
                entries = await self._client.xlen(stream)
                groups = await self._client.xinfo_groups(stream)
                pending = sum(group["pending"] for group in groups if group["name"] == GROUP)
                if entries or pending:
                    said.append(f"the stream {stream} holds {entries} entries, and {pending} are pending")
        return said
