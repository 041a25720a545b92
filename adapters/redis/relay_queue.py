"""The writing end of the queue, for the dispatcher. What is relayed, and what to do about what is found, is decided elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.msgpack import encode
from redis.asyncio import Redis

from adapters.redis.names import GROUP, MOVED, PARKED_STREAMS, RELAY
from adapters.redis.script import Script
from adapters.redis.translating import translated
from commands.ports import QueueEntry
from commands.queue_ports import STREAMS, Mark, QueueState, StreamState

_KEYS = [RELAY, *STREAMS.values()]


class RedisRelayQueue:
    """Implements commands.queue_ports.RelayQueue over a client that repeats nothing (adapters.redis.connecting)."""

    def __init__(self, client: Redis) -> None:
        self._inspect = Script(client, "state", "inspect")
        self._relay = Script(client, "state", "relay")
        self._reset = Script(client, "state", "reset")
        self._missing = Script(client, "state", "missing")

    async def inspect(self) -> QueueState:
        """See RelayQueue.inspect."""
        with translated("look at the queue"):
            return _read_state(await self._inspect(_KEYS, GROUP))

    async def relay(self, believed: QueueState, mark: Mark, entries: Sequence[QueueEntry]) -> QueueState | None:
        """See RelayQueue.relay."""
        new_mark = encode([str(mark.position), mark.job_id, str(mark.version), _write_time(mark)])
        with translated("relay to the queue"):
            found = await self._relay(_KEYS, GROUP, encode(_write_state(believed)), new_mark, encode(entries))
        return _read_state(found) if found else None

    async def reset(self, found: QueueState, *, log_id: str) -> QueueState:
        """See RelayQueue.reset."""
        with translated("make the queue anew"):
            return _read_state(
                await self._reset([*_KEYS, MOVED, PARKED_STREAMS], GROUP, encode(_write_state(found)), log_id)
            )

    async def find_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        """See RelayQueue.find_missing."""
        return await self._look_for(entries, log_id, "find")

    async def add_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        """See RelayQueue.add_missing."""
        return await self._look_for(entries, log_id, "add")

    async def _look_for(self, entries: Sequence[QueueEntry], log_id: str, what: str) -> list[QueueEntry]:
        with translated("look for missing entries"):
            places = await self._missing([*_KEYS, MOVED], GROUP, log_id, what, encode(entries))
        return [entries[place - 1] for place in places]


class RedisConsumers:
    """Implements commands.queue_ports.QueueConsumers."""

    def __init__(self, client: Redis) -> None:
        self._forget = Script(client, "forget_consumers")

    async def forget(self, *, alive: Collection[str]) -> int:
        """See QueueConsumers.forget."""
        with translated("forget the consumers of workers that are gone"):
            return int(await self._forget([*STREAMS.values(), PARKED_STREAMS], GROUP, encode(list(alive))))


def _write_state(state: QueueState) -> list[str]:
    """The form of state.lua."""
    mark = state.mark
    texts = [state.log_id or "", str(mark.position), mark.job_id, str(mark.version)]
    for stream in state.streams:
        texts += [stream.noted_id or "", stream.last_id or "", "1" if stream.has_group else ""]
    return [*texts, _write_time(mark)]


def _write_time(mark: Mark) -> str:
    return str(mark.recorded_ms) if mark.recorded_ms else ""


def _read_state(texts: list[str]) -> QueueState:
    log_id, position, job_id, version, *rest, recorded_ms = texts
    first, second = (
        StreamState(noted_id=noted or None, last_id=last or None, has_group=group == "1")
        for noted, last, group in (rest[:3], rest[3:])
    )
    return QueueState(
        log_id=log_id or None,
        mark=Mark(position=int(position), job_id=job_id, version=int(version), recorded_ms=int(recorded_ms or 0)),
        streams=(first, second),
    )
