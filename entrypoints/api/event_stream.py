"""Events on the wire: as Server-Sent Events (WHATWG HTML, section 9.2) and as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from entrypoints.api.models import EventView, ProgressView

EVENT_STREAM = b"text/event-stream"
HEARTBEAT_SECONDS = 15.0  # proxies cut what is silent for a minute, some for half of one
_RETRY_MILLISECONDS = 1000  # after which a client comes back that was cut off

_encode = msgspec.json.Encoder().encode


def beginning(position: int) -> bytes:
    """What a stream begins with: a client that is cut off before the first event resumes at that position, too."""
    return b"retry: %d\nid: %d\n\n" % (_RETRY_MILLISECONDS, position)


def message_of(event: EventView, position: int) -> bytes:
    """One event; its position is what a client resumes after."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, event.type.encode("ascii"), _line(event))


def message_of_progress(progress: ProgressView) -> bytes:
    """How far an attempt is. It has no `id:`, so a client that was cut off goes on behind the last event of the log."""
    return b"event: progress\ndata: %b\n\n" % _encode(progress)


def lines_of(events: Iterable[EventView]) -> bytes:
    """One line of JSON an event."""
    return b"".join(_line(event) + b"\n" for event in events)


def _line(event: EventView) -> bytes:
    # Payloads are kept as they were sent. Outside of strings a line break means what a blank does, and within them there is none.
    return _encode(event).replace(b"\n", b" ").replace(b"\r", b" ")


class Heartbeats:
    """When a stream was silent for too long: then it says how far it has come, which a client resumes after, too."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()

    def is_due(self) -> bool:
        """Whether there is one to be sent."""
        return self._now() - self._last >= HEARTBEAT_SECONDS

    def sent(self) -> None:
        """Something was sent."""
        self._last = self._now()

    def beat(self, position: int) -> bytes:
        """A comment and a position; no event."""
        return b": heartbeat\nid: %d\n\n" % position
