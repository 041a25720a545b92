"""The reading end of the queue for one worker: read, acknowledge, park, sweep. What a job is does not come in here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from msgspec.msgpack import Decoder, encode
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from adapters.redis.connecting import REPLY_SECONDS, connect
from adapters.redis.entries import RawEntry, is_sound, read_entry
from adapters.redis.names import GROUP, MOVED, PARKED_STREAMS, RELAY, moved_field
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
# What an entry is known by here: stream, entry id, job id, version. A queue that was made again may give an id to another job.
_Known = tuple[str, str, str, int]
_decode = Decoder(tuple[str, int, list[QueueEntry], list[_Place], int]).decode


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
        # Taken, and neither acknowledged nor parked; the value says when the queue was made that it came from, or before.
        self._held: dict[_Known, str] = {}
        self._owed: dict[_Known, str] = {}  # to be acknowledged, and not known to be; likewise
        self._settling = asyncio.Lock()  # what is owed is sent by one at a time, so that nothing is sent twice
        self._made = ""  # when the queue was made that was last read from
        self._unseen = True  # whether Redis may have given us entries that no code saw: an error, or an earlier life
        self._missing: bool | None = None  # None: never looked, or never seen; a first start has to wait for its queue

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.read. Waits of more than 5 seconds end after 5."""
        if count < 1:
            return []
        with translated("read the queue"):
            if self._owed and not self._settling.locked():
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
            for entry in entries:
                known = _known(entry)
                if (made := self._held.pop(known, None)) is not None:
                    self._owed[known] = made
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
            for entry in entries:
                self._held.pop(_known(entry), None)

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.sweep. Follows the cursor of each stream to its end, or until `count` are taken."""
        idle = int(min_idle_seconds * 1000)
        taken: list[QueueEntry] = []
        ours = {_known(entry) for entry in self._ready}
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
            reply = await self._read_script([RELAY, *self._streams], GROUP, self._consumer, count, packed=True)
        except BaseException:
            self._unseen = True
            raise
        try:
            self._made, missing, entries, malformed, full = _decode(reply)
        except msgspec.DecodeError:
            # Somebody wrote what is no text, or no number: it is ours now, and read again one by one.
            await self._recover()
            return False
        await self._receive(entries, [*malformed])
        if full and not self._ready:
            # What is queued cannot come in. What is in already is read first: taking it out makes room.
            raise OutOfMemoryError("the queue is empty, and Redis has no memory left for more (maxmemory)")
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
            self._made = await _run(self._client, "HGET", RELAY, "made") or ""
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
        self, stream: str, found: Iterable[RawEntry], *, is_new: bool = False, besides: Collection[_Known] = ()
    ) -> list[QueueEntry]:
        """Read entries and hold them, but for those `besides` and those that are to be acknowledged; malformed ones become
        owed. A new delivery of what we know means that the queue was made again."""
        entries: list[QueueEntry] = []
        malformed: list[_Place] = []
        for raw in found:
            entry = read_entry(stream, raw)
            if entry is None:
                malformed.append((stream, str(raw[0])))
            elif is_new or ((known := _known(entry)) not in self._owed and known not in besides):
                self._hold(entry)
                entries.append(entry)
        self._condemn(malformed)
        return entries

    def _hold(self, entry: QueueEntry) -> None:
        known = _known(entry)
        self._held[known] = self._made
        if self._owed:
            self._owed.pop(known, None)

    def _condemn(self, malformed: list[_Place]) -> None:
        if malformed:
            self._owed.update(((stream, entry_id, "", 0), self._made) for stream, entry_id in malformed)
            _log.warning("malformed entries leave the queue", count=len(malformed), first=malformed[0])

    async def _settle(self) -> None:
        """XACK and XDEL all that is owed, in one step."""
        async with self._settling:
            batch = list(self._owed.items())
            if not batch:
                return
            sure = [known for known, made in batch if made == self._made]
            unsure = [known for known, made in batch if made != self._made]
            moved = [field for known, _ in batch if (field := _moved(known))]
            await self._acknowledge_script([RELAY, MOVED], GROUP, self._made, encode([sure, unsure]), encode(moved))
            for known, _ in batch:
                self._owed.pop(known, None)

    def _report(self, *, is_missing: bool) -> None:
        if is_missing and self._missing is False:
            self._missing = True
            _log.warning("there is no queue at present: waiting until the dispatcher has made it again")
        elif not is_missing:
            if self._missing:
                _log.info("the queue is there again")
            self._missing = False


def _known(entry: QueueEntry) -> _Known:
    return entry.stream, entry.entry_id, entry.job_id, entry.version


def _moved(known: _Known) -> str:
    """The field of MOVED that an entry has if it is not under its own id in its own stream."""
    stream, entry_id, job_id, version = known
    if entry_id.endswith("-0") and not stream.startswith(PARKED_PREFIX):
        return ""
    return moved_field(job_id, version)


async def _run(client: Redis, *command: str | int) -> Any:
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types there
