"""What Redis says of itself and of the queue in it."""

from __future__ import annotations

import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from adapters.redis.names import PARKED_STREAMS
from adapters.redis.relay_queue import RedisRelayQueue
from adapters.redis.translating import translated
from commands.examined_facts import RedisFacts
from commands.queue_ports import PARKED_PREFIX


class RedisExaminer:
    """Asks over a client. Raises Unavailable."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # redis-py types its asynchronous answers as those of both kinds of client

    async def server(self) -> RedisFacts:
        """The server, its settings as INFO tells them (CONFIG is often forbidden), and what it holds of ours."""
        with translated("ask Redis"):
            asked = time.time()
            seconds, microseconds = await self._client.time()
            clock_apart = seconds + microseconds / 1e6 - (asked + time.time()) / 2
            info: dict[str, Any] = await self._client.info("everything")
            saves = await self._saves()
            parked: dict[str, int] = {}
            for stream in await self._client.smembers(PARKED_STREAMS):
                parked[stream.removeprefix(PARKED_PREFIX)] = await self._client.xlen(stream)
        state = await RedisRelayQueue(self._client).inspect()
        version = str(info.get("redis_version", "0"))
        valkey = info.get("valkey_version")
        return RedisFacts(
            name=f"Valkey {valkey}" if valkey else f"Redis {version}",
            compatible_with=version,
            is_cluster=bool(info.get("cluster_enabled")),
            role=str(info.get("role", "master")),
            eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
            used_bytes=int(info.get("used_memory", 0)),
            max_bytes=int(info.get("maxmemory", 0)),
            appends_to_file=bool(info.get("aof_enabled")),
            saves=saves,
            write_problem=_write_problem(info),
            clock_apart=clock_apart,
            log_id=state.log_id,
            parked=parked,
        )

    async def _saves(self) -> bool:
        try:
            return bool((await self._client.config_get("save")).get("save"))
        except ResponseError:  # a provider that lets nobody ask
            return True


def _write_problem(info: dict[str, Any]) -> str:
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        return "its append-only file could not be written the last time"
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return "its last snapshot could not be written"
    return ""
