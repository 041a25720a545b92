"""Turns the errors of redis-py into those of commands.ports, once and for all adapters; the cause is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from commands.ports import Unavailable

NAME = "Redis"  # as log lines call it; a Valkey speaks the same language
# How uvloop says that a connection was reset since it was last looked at; redis-py passes it on as it is, and connects anew.
_CLOSED = "the handler is closed"


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise Unavailable for what redis-py raises inside; `doing` begins its text.

    Answers of the server count too (OOM, MISCONF, READONLY, LOADING, WRONGTYPE, …): they speak of the server's state, which
    may heal without us. Whether the command took effect is unknown.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError, RuntimeError) as exc:
        if isinstance(exc, RuntimeError) and not str(exc).endswith(_CLOSED):
            raise
        raise Unavailable(f"{doing}: {str(exc).strip() or type(exc).__name__}", dependency=NAME) from exc
