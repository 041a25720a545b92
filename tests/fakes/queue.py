"""The queue in memory, with the semantics of the real one: streams with groups, ids, pending lists. An instance is a server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from commands.ports import QueueEntry, Unavailable
from commands.queue_ports import BEGINNING, PARKED_PREFIX, STREAMS, Mark, QueueState, StreamState

_Id = tuple[int, int]


def _id(text: str) -> _Id:
    position, _, n = text.partition("-")
    return int(position), int(n)


def _text(id: _Id) -> str:
    return f"{id[0]}-{id[1]}"


@dataclass
class FakeStream:
    has_group: bool = True
    last: _Id = (0, 0)
    delivered: _Id = (0, 0)
    entries: dict[_Id, QueueEntry] = field(default_factory=dict)
    pending: dict[_Id, tuple[str, float]] = field(default_factory=dict)  # consumer, time of delivery

    def add(self, id: _Id, entry: QueueEntry) -> None:
        assert id > self.last, f"{id} comes after {self.last}: Redis refuses that"
        self.last = id
        self.entries[id] = entry


class FakeQueueServer:
    """What Redis holds. `is_away` makes every call raise Unavailable."""

    def __init__(self) -> None:
        self.is_away = False
        self.changed = asyncio.Event()
        self.flush()

    def flush(self) -> None:
        self.log_id: str | None = None
        self.mark: Mark = BEGINNING
        self.noted: dict[str, str] = {}
        self.streams: dict[str, FakeStream] = {}
        self.moved: dict[tuple[str, int], tuple[str, _Id]] = {}
        self.consumers: set[str] = set()
        self._wake()

    def state(self) -> QueueState:
        first, second = (
            StreamState(
                noted_id=self.noted.get(name),
                last_id=_text(self.streams[name].last) if name in self.streams else None,
                has_group=name in self.streams and self.streams[name].has_group,
            )
            for name in STREAMS.values()
        )
        return QueueState(log_id=self.log_id, mark=self.mark, streams=(first, second))

    def check(self) -> None:
        if self.is_away:
            raise Unavailable("the fake is away", dependency="Redis")

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeRelayQueue:
    """Implements commands.queue_ports.RelayQueue."""

    def __init__(self, server: FakeQueueServer) -> None:
        self._server = server

    async def inspect(self) -> QueueState:
        self._server.check()
        return self._server.state()

    async def relay(self, believed: QueueState, mark: Mark, entries: Sequence[QueueEntry]) -> QueueState | None:
        server = self._server
        server.check()
        if server.state() != believed:
            return server.state()
        for entry in entries:
            server.streams[entry.stream].add(_id(entry.entry_id), entry)
            server.noted[entry.stream] = entry.entry_id
        server.mark = mark
        server._wake()
        return None

    async def reset(self, found: QueueState, *, log_id: str) -> QueueState:
        server = self._server
        server.check()
        if server.state() == found:
            server.log_id, server.mark, server.moved = log_id, BEGINNING, {}
            server.noted = dict.fromkeys(STREAMS.values(), "0-0")
            server.streams = {name: FakeStream() for name in STREAMS.values()}
            server._wake()
        return server.state()

    async def find_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        server = self._server
        server.check()
        state = server.state()
        if not state.is_whole or state.log_id != log_id:
            return []
        return [e for e in entries if _id(e.entry_id)[0] <= state.mark.position and not self._holds(e)]

    async def add_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        server = self._server
        missing = await self.find_missing(entries, log_id=log_id)
        for entry in missing:
            stream = server.streams[entry.stream]
            id = (stream.last[0], stream.last[1] + 1)
            stream.add(id, replace(entry, entry_id=_text(id)))
            server.noted[entry.stream] = _text(id)
            server.moved[entry.job_id, entry.version] = (entry.stream, id)
        server._wake()
        return missing

    def _holds(self, entry: QueueEntry) -> bool:
        places = [(entry.stream, _id(entry.entry_id)), self._server.moved.get((entry.job_id, entry.version))]
        return any(
            place is not None
            and place[0] in self._server.streams
            and (found := self._server.streams[place[0]].entries.get(place[1])) is not None
            and found.job_id == entry.job_id
            for place in places
        )


class FakeClaimQueue:
    """Implements commands.queue_ports.ClaimQueue."""

    def __init__(self, server: FakeQueueServer, *, worker_id: str, job_types: Collection[str]) -> None:
        self._server = server
        self._worker_id = worker_id
        self._parked = [PARKED_PREFIX + job_type for job_type in sorted(job_types)]
        self._names = [STREAMS["high"], *self._parked, STREAMS["default"]]
        self._is_first = True  # own pending entries of an earlier life are looked at
        self._ready: list[QueueEntry] = []

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        if count < 1:
            return []
        loop = asyncio.get_running_loop()
        until = loop.time() + block_seconds
        while True:
            self._server.check()
            taken = self._take(count)
            left = until - loop.time()
            if taken or left <= 0:
                return taken
            try:
                await asyncio.wait_for(self._server.changed.wait(), left)
            except TimeoutError:
                return self._take(count)

    def _take(self, count: int) -> list[QueueEntry]:
        server, now = self._server, asyncio.get_running_loop().time()
        server.consumers.add(self._worker_id)
        streams = [server.streams[name] for name in self._names if name in server.streams]
        if self._is_first:
            self._is_first = False
            for stream in streams:
                own = [id for id, (consumer, _) in stream.pending.items() if consumer == self._worker_id]
                self._ready += [stream.entries[id] for id in own if id in stream.entries]
        if not self._ready:
            for stream in streams:
                if stream.has_group:
                    for id in [id for id in stream.entries if id > stream.delivered][: count - len(self._ready)]:
                        stream.pending[id] = (self._worker_id, now)
                        stream.delivered = id
                        self._ready.append(stream.entries[id])
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    async def acknowledge(self, entries: Sequence[QueueEntry]) -> None:
        self._server.check()
        for entry in entries:
            self._remove(entry)
            self._server.moved.pop((entry.job_id, entry.version), None)

    async def park(self, entries: Sequence[QueueEntry]) -> None:
        server = self._server
        server.check()
        for entry in entries:
            if self._remove(entry):
                name = PARKED_PREFIX + entry.type
                stream = server.streams.setdefault(name, FakeStream())
                id = (stream.last[0] + 1, 0)
                stream.add(id, replace(entry, stream=name, entry_id=_text(id)))
                server.moved[entry.job_id, entry.version] = (name, id)
        server._wake()

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        self._server.check()
        now = asyncio.get_running_loop().time()
        taken: list[QueueEntry] = []
        for name in self._names:
            stream = self._server.streams.get(name, FakeStream())
            for id, (_, at) in list(stream.pending.items()):
                if len(taken) < count and now - at >= min_idle_seconds and stream.entries.get(id) not in self._ready:
                    if id not in stream.entries:
                        del stream.pending[id]
                        continue
                    stream.pending[id] = (self._worker_id, now)
                    taken.append(stream.entries[id])
        return taken

    async def aclose(self) -> None:
        pass

    def _remove(self, entry: QueueEntry) -> bool:
        stream = self._server.streams.get(entry.stream)
        if stream is None:
            return False
        id = _id(entry.entry_id)
        if (
            id in stream.entries and stream.entries[id] != entry
        ):  # the queue was made again from another past of the log
            return False
        stream.pending.pop(id, None)
        return stream.entries.pop(id, None) is not None
