"""The facts about a job: one frozen struct per event type, written once and never changed.

A struct holds what machines need and is stored in `events.data` under camelCase names. What may be personal (payload,
result, error text) travels beside it as `content`, JSON bytes that nothing here looks into.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, assert_never, get_args

from msgspec import Struct
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace

from domain.errors import UnknownEventType

Priority = Literal["high", "default"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

# How an attempt ended without success; `released`: its worker shut down, so it does not count against the maximum.
Outcome = Literal["error", "timeout", "lost", "released"]


class _Data(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Common settings: camelCase in the log, defaults left out, unknown fields ignored (a newer release may add some)."""


class Created(_Data, frozen=True):
    """A client asked for the job. Content: the payload. Without `delay` and `run_at` it is queued by this very event."""

    type: str
    priority: Priority
    attempt: int  # the number that the next attempt will have
    used: int  # attempts of this life that count, so far
    max_attempts: int
    delay: float | None = None  # seconds from this event until it is due
    run_at: datetime | None = None  # or: the moment at which it is due
    timeout: float | None = None  # seconds that each attempt may take; None: the job type's, or the worker's default
    tags: tuple[str, ...] = ()  # the caller's own words, to find the job by
    trace: str | None = None  # id of the trace that the request belonged to


class Queued(_Data, frozen=True):
    """The job is ready for its next attempt: its wait is over, it was released, or it was retried by hand."""

    type: str
    priority: Priority
    attempt: int
    used: int
    max_attempts: int
    isolated: bool = False  # the attempt before was lost, so this one runs in a process of its own
    reason: str | None = None  # of a retry by hand
    trace: str | None = None  # of the same


class Started(_Data, frozen=True):
    """A worker owns the attempt. It counts from here on, so a job that kills its worker cannot loop for ever."""

    attempt: int
    worker: str


class Attempted(_Data, frozen=True):
    """The attempt ended without success and another follows after `retry_after` seconds. Content: the error text."""

    attempt: int
    worker: str
    outcome: Outcome
    retry_after: float
    used: int  # attempts of this life that count, this one included unless it was released


class Completed(_Data, frozen=True):
    """The attempt succeeded. Content: the result."""

    attempt: int
    worker: str


class Failed(_Data, frozen=True):
    """The attempt ended without success and no other follows. Content: the error text."""

    attempt: int
    worker: str
    outcome: Outcome
    permanent: bool = False  # the handler said that no further attempt can help


class CancelRequested(_Data, frozen=True):
    """Somebody asked to cancel a job that is running; its worker is told and closes the attempt."""

    reason: str | None = None
    trace: str | None = None


class Cancelled(_Data, frozen=True):
    """The job will not run (again). `attempt` and `worker` are set when this closes an attempt.

    Content: the error text, only with an `outcome`.
    """

    attempt: int | None = None
    worker: str | None = None
    outcome: Literal["lost"] | None = None  # of the attempt that this closes, if it was lost; nothing is said of others
    reason: str | None = None
    trace: str | None = None


Event = Created | Queued | Started | Attempted | Completed | Failed | CancelRequested | Cancelled
EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in get_args(Event)}


class NewEvent(Struct, frozen=True):
    """An event that a decision wants to append, with its content (JSON bytes) if it has any."""

    event: Event
    content: bytes | None = None


class RecordedEvent(Struct, frozen=True):
    """An event as the log holds it. `position` counts over the whole log, `version` over the job's own stream."""

    position: int
    job_id: str
    version: int
    event: Event
    content: bytes | None
    actor: str
    recorded_at: datetime


_encode = Encoder().encode
_decoders: dict[str, Decoder[Event]] = {name: Decoder(cls) for name, cls in EVENT_TYPES.items()}


def traced(events: Sequence[NewEvent], trace: str | None) -> list[NewEvent]:
    """What a request decided, with the id of its trace in each event that keeps one."""
    return [
        replace(new, event=replace(new.event, trace=trace))
        if isinstance(new.event, Created | Queued | CancelRequested | Cancelled)
        else new
        for new in events
    ]


def type_name(event: Event) -> str:
    """The event's type as the log names it, such as "Created"."""
    return event.__class__.__name__


def encode_data(event: Event) -> bytes:
    """The JSON for `events.data`."""
    return _encode(event)


def decode_data(event_type: str, data: bytes | str) -> Event:
    """Read `events.data` again. Raises UnknownEventType; msgspec.ValidationError for data that is not of that type."""
    decoder = _decoders.get(event_type)
    if decoder is None:
        raise UnknownEventType(event_type)
    return decoder.decode(data)


def queues_at_once(event: Event) -> bool:
    """Whether this event itself makes an entry in the queue: each entry stems from exactly one such event."""
    match event:
        case Created():
            return event.delay is None and event.run_at is None
        case Queued():
            return True
        case Started() | Attempted() | Completed() | Failed() | CancelRequested() | Cancelled():
            return False
        case _:
            assert_never(event)
