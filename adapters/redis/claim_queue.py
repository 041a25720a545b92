"""The reading end of the queue for one worker: read, acknowledge, park, sweep. What a job is does not come in here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import structlog
from msgspec.msgpack import encode
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from adapters.redis.connecting import REPLY_SECONDS, connect
from adapters.redis.entries import RawEntry, pack_entries, read_entry
from adapters.redis.names import GROUP, MOVED, PARKED_STREAMS, moved_field
from adapters.redis.scripts import load_script
from adapters.redis.translating import translated
from commands.ports import QueueEntry
from commands.queue_ports import PARKED_PREFIX, STREAMS

_log = structlog.get_logger(__name__)

MAX_BLOCK_SECONDS = 5.0  # each wait ends after so long: the connection's time-out must be longer still
_PAUSE_SECONDS = 0.25  # while there is no queue: the relay notices within a second and makes it again
_MAX_PENDING = 10_000  # own pending entries looked at after an error: far more than a worker has slots
_MAX_SWEPT = 100  # entries that one XAUTOCLAIM takes

_Place = tuple[str, str]  # stream, entry id


class RedisClaimQueue:
    """Implements commands.queue_ports.ClaimQueue.

    Strict priority needs one script: Redis gives none among the keys of one XREADGROUP, and its COUNT is per key. Parked
    entries come directly after those of high priority: they have waited longer than what is in `default`.
    """

    def __init__(self, redis_url: str, *, worker_id: str, job_types: Collection[str]) -> None:
        name = f"jobledger-worker-{worker_id}"
        self._client: Redis = connect(redis_url, name=name)
        self._blocking: Redis = connect(redis_url, name=name, reply_seconds=MAX_BLOCK_SECONDS + REPLY_SECONDS)
        self._blocking.response_callbacks.pop("XREADGROUP", None)  # the reply as it came is what is parsed here
        self._client.response_callbacks.pop("XAUTOCLAIM", None)
        self._consumer = worker_id
        parked = [PARKED_PREFIX + job_type for job_type in sorted(job_types)]
        self._streams = [STREAMS["high"], *parked, STREAMS["default"]]
        self._read_script = self._client.register_script(load_script("read"))
        self._park_script = self._client.register_script(load_script("park"))
        # Taken and not yet acknowledged, by this worker; the value is the field of MOVED, or "".
        self._held: dict[_Place, str] = {}
        self._owed: dict[_Place, str] = {}  # acknowledgements that did not get through
        self._ready: deque[QueueEntry] = deque()  # taken, not yet handed out
        self._unseen = True  # whether Redis may have given us entries that no code saw: an error, or an earlier life
        self._missing = False

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.read. Waits of more than 5 seconds end after 5."""
        if count < 1:
            return []
        with translated("read the queue"):
            if self._owed:
                await self._settle({})
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
            await self._settle({_place(entry): _moved(entry) for entry in entries})

    async def park(self, entries: Sequence[QueueEntry]) -> None:
        """See ClaimQueue.park. If it fails, `read` gives the entries again."""
        if not entries:
            return
        with translated("park"):
            try:
                await self._park_script([MOVED, PARKED_STREAMS], [GROUP, encode(pack_entries(entries))])
            except BaseException:
                self._ready.extend(entries)
                raise
            for entry in entries:
                self._held.pop(_place(entry), None)

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        """See ClaimQueue.sweep. Follows the cursor of each stream to its end, or until `count` are taken."""
        idle = int(min_idle_seconds * 1000)
        taken: list[QueueEntry] = []
        with translated("sweep the queue"):
            try:
                for stream in self._streams:
                    cursor = "0-0"
                    while len(taken) < count:
                        cursor, entries = await self._autoclaim(
                            stream, idle, cursor, min(count - len(taken), _MAX_SWEPT)
                        )
                        taken += self._admit(stream, entries, is_new=False)
                        if cursor == "0-0":
                            break
            except BaseException:
                # Entries of a reply that nobody saw are ours now, and so are those already taken.
                self._ready.extend(taken)
                self._unseen = True
                raise
            if self._owed:
                await self._settle({})
        return taken

    async def aclose(self) -> None:
        """Close the connections. What is held stays pending, for a sweep."""
        await self._blocking.aclose()
        await self._client.aclose()

    async def _recover(self) -> None:
        self._unseen = False
        await self._read_now(_MAX_PENDING, own_pending=True)

    async def _read_now(self, count: int, *, own_pending: bool = False) -> bool:
        """Read without waiting; answers whether streams of the relay are missing."""
        try:
            is_missing, *found = await self._read_script(
                self._streams, [GROUP, self._consumer, count, "0" if own_pending else ">"]
            )
        except BaseException:
            self._unseen = True
            raise
        await self._receive(found, is_new=not own_pending)
        return bool(is_missing)

    async def _wait(self, seconds: float) -> bool:
        """Wait for one entry; answers whether a stream is missing.

        It may bring one of each stream, if they come between the script and this: `read` hands out the surplus first.
        """
        if seconds <= 0:
            return False
        milliseconds = max(1, int(seconds * 1000))  # 0 would be for ever
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", milliseconds, "STREAMS")
        try:
            found = await self._blocking.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types there
                *command, *self._streams, *(">" for _ in self._streams)
            )
        except ResponseError as exc:
            # NOGROUP: there is none; UNBLOCKED: it went while we waited (Redis 7.0; later ones say NOGROUP).
            if str(exc).startswith(("NOGROUP", "UNBLOCKED")):
                return True
            raise
        except BaseException:  # cancelled too: redis-py then drops the connection
            self._unseen = True
            raise
        await self._receive(found or [], is_new=True)
        return False

    async def _autoclaim(self, stream: str, idle: int, cursor: str, count: int) -> tuple[str, list[RawEntry]]:
        try:
            reply = await self._client.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types there
                "XAUTOCLAIM", stream, GROUP, self._consumer, idle, cursor, "COUNT", count
            )
        except ResponseError as exc:
            if str(exc).startswith("NOGROUP"):
                return "0-0", []
            raise
        return reply[0], reply[1]

    async def _receive(self, found: Iterable[tuple[str, list[RawEntry]]], *, is_new: bool) -> None:
        for stream, raw_entries in found:
            self._ready.extend(self._admit(stream, raw_entries, is_new=is_new))
        if self._owed:
            await self._settle({})

    def _admit(self, stream: str, raw_entries: Iterable[RawEntry], *, is_new: bool) -> list[QueueEntry]:
        """Read entries and note them as held; malformed ones become owed. Old ones that are held already are passed over:
        only a new delivery of the same id is another entry (the queue was made again)."""
        entries = []
        malformed = []
        for raw in raw_entries:
            entry = read_entry(stream, raw)
            place = (stream, raw[0])
            if entry is None:
                self._owed[place] = ""
                malformed.append(raw[0])
            elif is_new or place not in self._held:
                self._held[place] = _moved(entry)
                entries.append(entry)
        if malformed:
            _log.warning(
                "malformed entries removed from the queue", stream=stream, ids=malformed[:10], count=len(malformed)
            )
        return entries

    async def _settle(self, places: dict[_Place, str]) -> None:
        """XACK and XDEL these and what is owed, all or nothing."""
        batch = {**self._owed, **places}
        self._owed = {}
        if not batch:
            return
        by_stream: dict[str, list[str]] = {}
        for stream, entry_id in batch:
            by_stream.setdefault(stream, []).append(entry_id)
        moved = [field for field in batch.values() if field]
        try:
            async with self._client.pipeline(transaction=True) as multi:
                for stream, ids in by_stream.items():
                    multi.execute_command("XACK", stream, GROUP, *ids)
                    multi.execute_command("XDEL", stream, *ids)
                if moved:
                    multi.execute_command("HDEL", MOVED, *moved)
                await multi.execute()
        except BaseException:
            self._owed = {**batch, **self._owed}
            raise
        for place in batch:
            self._held.pop(place, None)

    def _report(self, *, is_missing: bool) -> None:
        if is_missing != self._missing:
            self._missing = is_missing
            if is_missing:
                _log.warning("there is no queue at present: waiting until the dispatcher has made it again")
            else:
                _log.info("the queue is there again")


def _place(entry: QueueEntry) -> _Place:
    return entry.stream, entry.entry_id


def _moved(entry: QueueEntry) -> str:
    if entry.entry_id.endswith("-0") and not entry.stream.startswith(PARKED_PREFIX):
        return ""
    return moved_field(entry.job_id, entry.version)
