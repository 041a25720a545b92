"""How connections to Redis are made: nothing is sent twice behind our back, and a silent server is noticed."""

from __future__ import annotations

import socket

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from adapters.redis.translating import translated
from commands.queue_ports import UnsuitableServer

_log = structlog.get_logger(__name__)

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 5.0  # the longest script adds a page of entries, in milliseconds; the rest is a slow network

# A peer that is gone is noticed after about 15 seconds: 5 idle, then 3 probes; unacknowledged data for 15 (milliseconds).
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 3),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 15_000),
    )
    if hasattr(socket, name)
}

_OLDEST = 7  # scripts whose effects are replicated, XAUTOCLAIM that drops deleted entries


def connect(redis_url: str, *, name: str, reply_seconds: float = REPLY_SECONDS) -> Redis:
    """A client; it connects with its first command. Raises ValueError for a URL that is none.

    redis-py repeats commands by default: an XADD would be made twice, and what the first XREADGROUP took would be seen by
    nobody. Zero retries turn that off, for commands and for connecting alike. Texts that are no UTF-8 are read with
    replacement characters, so that an entry written by somebody else cannot break the connection for ever.
    """
    return Redis.from_url(
        redis_url,
        client_name=name.replace(" ", "-"),  # CLIENT SETNAME takes no spaces
        protocol=2,  # one shape of replies, whatever redis-py's default is
        decode_responses=True,
        encoding_errors="replace",
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=reply_seconds,
        socket_keepalive=True,
        socket_keepalive_options=_KEEPALIVE,
        health_check_interval=0,  # a PING before a command would only fail in the place of the command
    )


async def check_server(client: Redis) -> None:
    """Look at the server once, at start. Raises UnsuitableServer for a cluster or an old server, Unavailable."""
    with translated("look at Redis"):
        info = await client.info("server", "cluster", "memory", "replication")
    version = str(info.get("redis_version", "0"))  # Valkey gives the version of Redis that it is compatible with
    if info.get("cluster_enabled"):
        raise UnsuitableServer(
            "this Redis is a cluster, which cannot change two streams in one step: use a single primary (Sentinel is fine)"
        )
    if int(version.split(".", maxsplit=1)[0]) < _OLDEST:
        raise UnsuitableServer(f"this Redis is {version}: Redis {_OLDEST} or later, or Valkey, is needed")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        _log.warning(
            "redis may evict the queue when its memory is full",
            maxmemory_policy=policy,
            remedy="CONFIG SET maxmemory-policy noeviction",
        )
    if info.get("role") not in (None, "master"):
        _log.warning("redis is a replica and will refuse to be written to", role=info.get("role"))
