"""What was broken, and when it was healed: one JSON line a fault, written by whoever breaks things, read by the judge."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct


class Fault(Struct, frozen=True):
    """A fault from `began` until `healed`, in seconds of the clock of the day (time.time); equal for what is over at once."""

    name: str
    began: float
    healed: float


class FaultsLog:
    """Appends faults to a file; may be used by several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Around what breaks and heals: written down when it is healed."""
        began = time.time()
        try:
            yield
        finally:
            self.add(Fault(name, began, time.time()))

    def add(self, fault: Fault) -> None:
        """Write one down."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, msgspec.json.encode(fault) + b"\n")
        finally:
            os.close(file)


def read_faults(path: Path) -> list[Fault]:
    """All that was written down, in the order in which it was healed; nothing, if there is no such file."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return sorted((msgspec.json.decode(line, type=Fault) for line in lines), key=lambda fault: fault.healed)
