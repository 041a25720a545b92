"""The reading end of the queue for one worker: read, acknowledge, park, sweep. What a job is does not come in here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec.msgpack import Decoder, encode
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from adapters.redis.connecting import REPLY_SECONDS, connect
from adapters.redis.entries import RawEntry, is_sound, read_entry
from adapters.redis.names import GROUP, MOVED, PARKED_STREAMS, moved_field
from adapters.redis.script import Script
from adapters.redis.translating import translated
from commands.ports import QueueEntry
from commands.queue_ports import PARKED_PREFIX, STREAMS

_log = structlog.get_logger(__name__)

MAX_BLOCK_SECONDS = 5.0  # each wait ends after so long: the connection's time-out must be longer still
_PAUSE_SECONDS = 0.25  # while there is no queue: the relay notices within a second and makes it again
_PAGE = 1_000  # own pending entries looked at in one round trip
_MAX_SWEPT = 100  # entries that one XAUTOCLAIM takes

_Place = tuple[str, str]  # stream, entry id
_decode = Decoder(tuple[int, list[QueueEntry], list[_Place]]).decode


class RedisClaimQueue:
    """Implements commands.queue_ports.ClaimQueue.

    Strict priority needs a script: Redis gives none among the keys of one XREADGROUP, and its COUNT is per key. Parked
    entries come directly after those of high priority: they have waited longer than what is in `default`.
    """

    def __init__(self, redis_url: str, *, worker_id: str, job_types: Collection[str]) -> None:
        name = f"jobledger-worker-{worker_id}"
        self._client: Redis = connect(redis_url, name=name)
        self._blocking: Redis = connect(redis_url, name=name, reply_seconds=MAX_BLOCK_SECONDS + REPLY_SECONDS)
        for client in (self._client, self._blocking):
            client.response_callbacks.clear()  # replies are read here as they come
        self._consumer = worker_id
        parked = [PARKED_PREFIX + job_type for job_type in sorted(job_types)]
        self._streams = [STREAMS["high"], *parked, STREAMS["default"]]
        self._read_script = Script(self._client, "read")
        self._acknowledge_script = Script(self._client, "acknowledge")
        self._park_script = Script(self._client, "park")
        self._ready: deque[QueueEntry] = deque()  # taken, not yet handed out
        self._held: set[_Place] = set()  # taken, and neither acknowledged nor parked
        # To be acknowledged, and not known to be; the value is the field of MOVED, or "". Kept while a call is under way.
        self._owed: dict[_Place, str] = {}
        self._unseen = True  # whether Redis may have given us entries that no code saw: an error, or an earlier life
        self._missing = False

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.read. Waits of more than 5 seconds end after 5."""
        if count < 1:
            return []
        with translated("read the queue"):
            if self._owed:
                await self._settle()
            if self._unseen:
                await self._recover()
            if not self._ready:
                is_missing = await self._read_now(count)
                if not self._ready and not is_missing:
                    is_missing = await self._wait(min(block_seconds, MAX_BLOCK_SECONDS))
                self._report(is_missing=is_missing)
                if is_missing and not self._ready:
                    await asyncio.sleep(min(block_seconds, _PAUSE_SECONDS))
            return [self._ready.popleft() for _ in range(min(count, len(self._ready)))]

    async def acknowledge(self, entries: Sequence[QueueEntry]) -> None:
        """See ClaimQueue.acknowledge. What does not get through is sent again with the next call, or before a read."""
        with translated("acknowledge"):
            self._owe({(entry.stream, entry.entry_id): _moved(entry) for entry in entries})
            await self._settle()

    async def park(self, entries: Sequence[QueueEntry]) -> None:
        """See ClaimQueue.park. If it fails, `read` gives the entries again."""
        if not entries:
            return
        with translated("park"):
            try:
                await self._park_script([MOVED, PARKED_STREAMS], GROUP, encode(entries))
            except BaseException:
                self._ready.extend(entries)
                raise
            self._held.difference_update((entry.stream, entry.entry_id) for entry in entries)

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.sweep. Follows the cursor of each stream to its end, or until `count` are taken."""
        idle = int(min_idle_seconds * 1000)
        taken: list[QueueEntry] = []
        ours = {(entry.stream, entry.entry_id) for entry in self._ready}
        with translated("sweep the queue"):
            try:
                for stream in self._streams:
                    cursor = "0-0"
                    while len(taken) < count:
                        wanted = min(count - len(taken), _MAX_SWEPT)
                        cursor, found = await self._autoclaim(stream, idle, cursor, wanted)
                        taken += self._admit(stream, found, besides=ours)
                        if cursor == "0-0":
                            break
                if self._owed:
                    await self._settle()
            except BaseException:
                # Entries of a reply that nobody saw are ours now, and so are those already taken.
                self._ready.extend(taken)
                self._unseen = True
                raise
        return taken

    async def aclose(self) -> None:
        """Close the connections. What is held stays pending, for a sweep."""
        await self._blocking.aclose()
        await self._client.aclose()

    async def _read_now(self, count: int) -> bool:
        """Read without waiting; answers whether a stream of the relay is missing."""
        try:
            reply = await self._read_script(self._streams, GROUP, self._consumer, count, packed=True)
        except BaseException:
            self._unseen = True
            raise
        try:
            missing, entries, malformed = _decode(reply)
        except msgspec.DecodeError:
            # Somebody wrote what is no text, or no number: it is ours now, and read again one by one.
            await self._recover()
            return False
        await self._receive(entries, [*malformed])
        return bool(missing)

    async def _wait(self, seconds: float) -> bool:
        """Wait for one entry; answers whether a stream is missing.

        It may bring one of each stream, if they come between the script and this: `read` hands out the surplus first.
        """
        if seconds <= 0:
            return False
        milliseconds = max(1, int(seconds * 1000))  # 0 would be for ever
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", milliseconds, "STREAMS")
        try:
            found = await _run(self._blocking, *command, *self._streams, *(">" for _ in self._streams))
        except ResponseError as exc:
            # NOGROUP: there is none; UNBLOCKED: it went while we waited (Redis 7.0; later ones say NOGROUP).
            if str(exc).startswith(("NOGROUP", "UNBLOCKED")):
                return True
            raise
        except BaseException:  # cancelled too: redis-py then drops the connection
            self._unseen = True
            raise
        for stream, raw in found or ():
            self._ready.extend(self._admit(stream, raw, is_new=True))
        if self._owed:
            await self._settle()
        return False

    async def _recover(self) -> None:
        """Read what is pending for us and was never handed out."""
        self._unseen = False
        try:
            for stream in self._streams:
                found: list[RawEntry] = [("0", None)]
                while found:
                    found = await self._pending(stream, after=str(found[-1][0]))
                    self._ready.extend(self._admit(stream, found, besides=self._held))
                    if len(found) < _PAGE:
                        break
            if self._owed:
                await self._settle()
        except BaseException:
            self._unseen = True
            raise

    async def _pending(self, stream: str, *, after: str) -> list[RawEntry]:
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", _PAGE, "STREAMS", stream, after)
        try:
            reply = await _run(self._client, *command)
        except ResponseError as exc:
            if str(exc).startswith("NOGROUP"):
                return []
            raise
        return list(reply[0][1]) if reply else []

    async def _autoclaim(self, stream: str, idle: int, cursor: str, count: int) -> tuple[str, list[RawEntry]]:
        try:
            reply = await _run(self._client, "XAUTOCLAIM", stream, GROUP, self._consumer, idle, cursor, "COUNT", count)
        except ResponseError as exc:
            if str(exc).startswith("NOGROUP"):
                return "0-0", []
            raise
        return reply[0], reply[1]

    async def _receive(self, entries: Iterable[QueueEntry], malformed: list[_Place]) -> None:
        """Make new entries ready, and take malformed ones out of the queue."""
        for entry in entries:
            if is_sound(entry):
                self._hold(entry)
                self._ready.append(entry)
            else:
                malformed.append((entry.stream, entry.entry_id))
        self._condemn(malformed)
        if self._owed:
            await self._settle()

    def _admit(
        self, stream: str, found: Iterable[RawEntry], *, is_new: bool = False, besides: Collection[_Place] = ()
    ) -> list[QueueEntry]:
        """Read entries and hold them, but for those `besides` and those that are to be acknowledged; malformed ones become
        owed. A new delivery of a place that we know is another entry: the queue was made again."""
        entries: list[QueueEntry] = []
        malformed: list[_Place] = []
        for raw in found:
            place = (stream, str(raw[0]))
            entry = read_entry(stream, raw)
            if entry is None:
                malformed.append(place)
            elif is_new or (place not in self._owed and place not in besides):
                self._hold(entry)
                entries.append(entry)
        self._condemn(malformed)
        return entries

    def _hold(self, entry: QueueEntry) -> None:
        place = (entry.stream, entry.entry_id)
        self._held.add(place)
        if self._owed:
            self._owed.pop(place, None)

    def _condemn(self, malformed: list[_Place]) -> None:
        if malformed:
            self._owe(dict.fromkeys(malformed, ""))
            _log.warning("malformed entries leave the queue", count=len(malformed), first=malformed[0])

    def _owe(self, places: Mapping[_Place, str]) -> None:
        self._owed.update(places)
        self._held.difference_update(places)

    async def _settle(self) -> None:
        """XACK and XDEL all that is owed, in one step."""
        batch = dict(self._owed)
        if not batch:
            return
        by_stream: dict[str, list[str]] = {}
        for stream, entry_id in batch:
            by_stream.setdefault(stream, [stream]).append(entry_id)
        fields = [field for field in batch.values() if field]
        await self._acknowledge_script([MOVED], GROUP, encode(list(by_stream.values())), encode(fields))
        for place in batch:
            self._owed.pop(place, None)

    def _report(self, *, is_missing: bool) -> None:
        if is_missing != self._missing:
            self._missing = is_missing
            if is_missing:
                _log.warning("there is no queue at present: waiting until the dispatcher has made it again")
            else:
                _log.info("the queue is there again")


def _moved(entry: QueueEntry) -> str:
    if entry.entry_id.endswith("-0") and not entry.stream.startswith(PARKED_PREFIX):
        return ""
    return moved_field(entry.job_id, entry.version)


async def _run(client: Redis, *command: str | int) -> Any:
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types there
