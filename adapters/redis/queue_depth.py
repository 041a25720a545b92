"""How much lies in the streams. A stream's length is the depth of its queue, since what is claimed leaves it."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from adapters.redis.translating import translated
from commands.queue_ports import STREAMS


class RedisQueueDepth:
    """Implements commands.queue_ports.QueueDepth."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def read(self) -> Mapping[str, int]:
        """See QueueDepth.read."""
        with translated("read the depth of the queue"):
            async with self._client.pipeline(transaction=False) as pipeline:
                for stream in STREAMS.values():
                    pipeline.xlen(stream)
                lengths = await pipeline.execute()
        return dict(zip(STREAMS, lengths, strict=True))
