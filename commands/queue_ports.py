"""What the use cases need of the queue, and of the log to keep the queue, as protocols. No technology.

The queue is a projection of the log: `RelayQueue` is its writing end, `ClaimQueue` its reading end, `QueueFeed` what it is
made from. Streams are named for the priorities; entries whose type nobody here knows wait in a stream of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from commands.ports import QueueEntry
from domain.errors import JobledgerError
from domain.events import Priority

# In this order they are read, and in this order `QueueState.streams` speaks of them.
STREAMS: dict[Priority, str] = {"high": "high_priority", "default": "default"}
PARKED_PREFIX = "parked:"  # + the job type


class ForeignQueue(JobledgerError):
    """The queue was made from another log: somebody else's Redis, or a database that was replaced. A person must look."""

    code = "foreign_queue"

    def __init__(self, *, found: str, own: str) -> None:
        super().__init__(
            f"the queue in this Redis belongs to the log {found}, not to ours, {own}: "
            "point REDIS_URL elsewhere, or flush this Redis if nobody needs it"
        )
        self.found = found
        self.own = own


class UnsuitableServer(JobledgerError):
    """The server can be reached and cannot be used as it is, such as a cluster."""

    code = "unsuitable_server"


class Mark(Struct, frozen=True):
    """A place in the log, with the event that is there, so that another log at the same place is recognised.

    Job and version are not enough: a log restored to an earlier moment may grow again by other events up to that one.
    """

    position: int = 0  # 0: before the first event
    job_id: str = ""
    version: int = 0
    recorded_ms: int = 0  # when it was recorded, in milliseconds since 1970; 0: not known


BEGINNING = Mark()


class StreamState(Struct, frozen=True):
    """One stream as it is, beside what is noted of it. Ids are `<position>-<n>`; None: there is none."""

    noted_id: str | None = None  # the last id that the relay gave out
    last_id: str | None = None  # the last id that the stream has given out; None: no such stream
    has_group: bool = False  # whether the workers' consumer group is there


class QueueState(Struct, frozen=True):
    """All that the queue says of itself; equal states mean that nobody but workers has touched it in between."""

    log_id: str | None = None  # of the log that it was made from; None: nothing readable is there
    mark: Mark = BEGINNING  # of the last event relayed
    streams: tuple[StreamState, StreamState] = (StreamState(), StreamState())

    @property
    def is_whole(self) -> bool:
        """Whether the streams are as the relay left them."""
        return self.log_id is not None and all(
            stream.has_group and stream.last_id is not None and stream.noted_id == stream.last_id
            for stream in self.streams
        )

    def after(self, mark: Mark, entries: Sequence[QueueEntry]) -> QueueState:
        """The state once `entries`, in order, and `mark` are relayed onto this one."""
        last = {entry.stream: entry.entry_id for entry in entries}
        streams = tuple(
            replace(state, noted_id=last[name], last_id=last[name]) if name in last else state
            for name, state in zip(STREAMS.values(), self.streams, strict=True)
        )
        return QueueState(log_id=self.log_id, mark=mark, streams=(streams[0], streams[1]))


class RelayQueue(Protocol):
    """The writing end. Each call is one atomic step in one round trip; all raise Unavailable, after which it is unknown
    whether the step was made: inspect, and go on from what is there."""

    async def inspect(self) -> QueueState:
        """What is there now."""

    async def relay(self, believed: QueueState, mark: Mark, entries: Sequence[QueueEntry]) -> QueueState | None:
        """Add `entries` under their own ids and move to `mark`, if the queue is as `believed`: None.

        Otherwise nothing is written: answers what was found instead. Without entries it still compares.
        """

    async def reset(self, found: QueueState, *, log_id: str) -> QueueState:
        """Make both streams anew, empty and with their groups at 0, if the queue still is as `found`. Answers what is there
        then. Parked entries go too, as everything will be relayed again."""

    async def find_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        """Those of `entries` that are nowhere: not in their stream (pending or not), not parked, not added again.

        Empty while the queue is not whole, is another log's, or has not been relayed so far: that is the relay's to mend.
        """

    async def add_missing(self, entries: Sequence[QueueEntry], *, log_id: str) -> list[QueueEntry]:
        """Add again those that `find_missing` would answer, at the ends of their streams; answers these."""


class ClaimQueue(Protocol):
    """The reading end, of one worker. Raises Unavailable from every call; what was read is pending until acknowledged.

    An empty queue that can take no more entries is unavailable, too.
    """

    async def read(self, count: int, block_seconds: float) -> list[QueueEntry]:
        """Up to `count` entries, those of high priority first; waits for the first one for at most `block_seconds`.

        An entry that was read before, and whose reading nobody saw because of an error, comes first. May be cancelled at
        any time: an entry that came in that moment stays pending for a sweep. Empty if nothing came or there is no queue
        at present (it is made again soon). One call at a time.
        """

    async def acknowledge(self, entries: Sequence[QueueEntry]) -> None:
        """Take the entries out of the queue for good. One round trip. Repeating it is harmless."""

    async def park(self, entries: Sequence[QueueEntry]) -> None:
        """Move entries whose type this worker does not know to where workers that know it read too. Repeating is harmless:
        each entry is in one place before and after, never in none or two."""

    async def sweep(self, count: int, min_idle_seconds: float) -> list[QueueEntry]:
        """Take over up to `count` entries that some worker read so long ago and neither acknowledged nor parked.

        This worker counts too, so what it read and could not claim comes again: call it while no claim is under way.
        """


Source = Literal["streams", "jobs"]  # where a worker reads what it claims
DIRECTLY = "jobs"  # what an entry names as its stream when it was read from the table `jobs`


class QueueHead(Struct, frozen=True):
    """The jobs that are to be started next, for one of several workers that look at the same moment.

    Entries in the order in which they were queued. The worker is number `rank` (from 0) of `workers`.
    """

    high: list[QueueEntry]
    default: list[QueueEntry]
    rank: int = 0
    workers: int = 1


class QueuedJobs(Protocol):
    """The queue without its streams, for one worker: the jobs that the read side shows as queued."""

    async def head(self, *, limit: int, wanted: int) -> QueueHead:
        """The first of each priority that are queued now by the log itself, at most `limit`, of types that the worker knows.

        Those of default priority only where all of high priority are seen and are fewer than `wanted`. What the read side does
        not show yet is missing. Raises Unavailable. One call at a time.
        """


class QueueConsumers(Protocol):
    """The workers as the queue knows them."""

    async def forget(self, *, alive: Collection[str]) -> int:
        """Remove the consumers that are not `alive` and own no pending entry; answers how many. Raises Unavailable."""


class LogEvent(Struct, frozen=True):
    """What the relay needs of an event. `data` is given for types that can queue a job, else None."""

    position: int
    job_id: str
    version: int
    type: str
    data: str | None
    recorded_ms: int = 0  # milliseconds since 1970


class LogPage(Struct, frozen=True):
    """A part of the log in order, read in one snapshot with the log's id and head (0: empty)."""

    log_id: str
    head: int
    events: list[LogEvent]


class QueuedPage(Struct, frozen=True):
    """Queued jobs in the order in which they were queued, as the read side knows them at `checkpoint`, in one snapshot."""

    log_id: str
    checkpoint: Mark
    entries: list[QueueEntry]


class QueueFeed(Protocol):
    """What the queue is made from. Every call is one statement; raises Unavailable or LogDamaged."""

    async def log_page(self, *, begin: int, limit: int) -> LogPage:
        """The events at `begin` and after it, at most `limit`."""

    async def queued_page(self, *, after: int, limit: int, min_age_seconds: float = 0.0) -> QueuedPage:
        """The jobs queued by an event after the position `after`, at most `limit`, and for at least so long."""

    async def still_queued(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """Those of `entries` whose event is the newest of its job in the log at the time of the call."""


class QueueDepth(Protocol):
    """How much lies in the queue."""

    async def read(self) -> Mapping[str, int]:
        """Entries that nobody has claimed, by priority. Raises Unavailable."""
