"""What a worker and the process of one attempt say to each other: frames of msgpack with their length before them.

Orders go down the child's standard input, reports come up a pipe of their own: what the code prints cannot damage them.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from commands.attempt import Errored, Stopped, Succeeded

_LENGTH_BYTES = 4


class Start(Struct, frozen=True, tag=True):
    """The first order: run this. `import_path` is the worker's sys.path, so that both find the same code."""

    job_type: str
    payload: bytes
    job_id: str
    attempt: int
    created_at: datetime
    position: int
    trace_id: str | None
    settings: dict[str, Any]
    result_max_bytes: int
    log_level: int
    import_path: list[str]


class Stop(Struct, frozen=True, tag=True):
    """The second order, if it comes: end soon. The end of the orders says: end now, nobody waits for you any more."""


class LogLine(Struct, frozen=True, tag=True):
    """A line that the code logged. `fields` holds what it gave as `extra`, as JSON-like values."""

    level: int
    text: str
    fields: dict[str, Any]


class Progress(Struct, frozen=True, tag=True):
    """See Context.progress."""

    fraction: float
    note: str


class Ended(Struct, frozen=True, tag=True):
    """The last report."""

    outcome: Succeeded | Errored | Stopped


Order = Start | Stop
Report = LogLine | Progress | Ended

_encoder = msgspec.msgpack.Encoder(enc_hook=str)  # settings and fields of log lines may be anything; their text will do
_order_decoder = msgspec.msgpack.Decoder(Order)
_report_decoder = msgspec.msgpack.Decoder(Report)


def encode_frame(message: Order | Report) -> bytes:
    """The message as a frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def read_order(descriptor: int) -> Order | None:
    """Wait for the next order. None: the worker is gone, or has closed its end."""
    head = _read_exactly(descriptor, _LENGTH_BYTES)
    body = _read_exactly(descriptor, int.from_bytes(head, "big")) if head else None
    return _order_decoder.decode(body) if body else None


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        block = os.read(descriptor, min(size - len(data), 1 << 20))
        if not block:
            return None
        data += block
    return bytes(data)


class ReportReader:
    """Cuts what arrives into reports. `max_bytes`: of one frame; more is taken for damage."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Report]:
        """The reports that are complete now. Raises ValueError for what is no report (msgspec.DecodeError is one)."""
        self._buffer += data
        reports: list[Report] = []
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if end > self._max_bytes:
                raise ValueError(f"a report of {end} bytes, more than {self._max_bytes}")
            if len(self._buffer) < end:
                break
            reports.append(_report_decoder.decode(self._buffer[_LENGTH_BYTES:end]))
            del self._buffer[:end]
        return reports
