"""How a worker shows that it lives, and what it hears back. The rules: docs/architecture.md, "Liveness"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from commands.queue_ports import Source


class RunningAttempt(Struct, frozen=True):
    """An attempt that a worker runs; `version` is that of the newest event that it knows of the job."""

    job_id: str
    version: int


class HeartbeatAnswer(Struct, frozen=True):
    """What the database says to a heartbeat."""

    alive: bool  # the worker has its row; False: it was given up, and nothing that it appends is accepted
    cancelled: Sequence[str]  # ids of running jobs that somebody asked to cancel
    closed: Sequence[str]  # ids of running jobs whose attempt somebody else has closed
    strays: Sequence[str]  # ids of jobs that `jobs` has shown as run by this worker for over 10 s, though it does not


class WorkerRegistry(Protocol):
    """The rows of `workers`. Called from the heartbeat's thread, never from the event loop: it blocks."""

    def register(self, worker: str) -> None:
        """Make the worker's row. Raises Unavailable."""

    def beat(self, worker: str, running: Sequence[RunningAttempt], *, claims_from: Source | None) -> HeartbeatAnswer:
        """Raise the worker's counter, say where it claims jobs (None: nowhere), hear what concerns it. Raises Unavailable."""

    def deregister(self, worker: str) -> None:
        """Delete the worker's row, after its last closing event. Raises Unavailable."""

    def close(self) -> None:
        """Give back the connection."""
