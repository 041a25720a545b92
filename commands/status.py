"""What goes on now: rates, depth, who works on what, who is behind. For people who look; what machines watch are the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from commands.queue_ports import Source
from commands.standing import Standing

COUNTED = 10_000  # jobs of one priority that are counted; more are "more"


class RunningJobs(Struct, frozen=True, rename="camel"):
    """What one worker runs of one type."""

    type: str
    jobs: int
    longest_seconds: float


class WorkerStatus(Struct, frozen=True, rename="camel"):
    """One worker. `is_registered`: False for one that is gone, and whose jobs wait to be closed."""

    name: str
    is_registered: bool
    claims_from: Source | None
    up_seconds: float | None
    running: Sequence[RunningJobs]


class Status(Struct, frozen=True, rename="camel"):
    """One look."""

    standing: Standing
    dispatcher: str | None  # who leads
    redis: str  # as it sees Redis: "ok", or what is wrong
    queued: Mapping[str, int]  # jobs by priority, at most COUNTED
    per_second: Mapping[str, float]  # events by type, in the last seconds
    workers: Sequence[WorkerStatus]


class StatusReader(Protocol):
    """Looks."""

    async def read(self) -> Status:
        """What goes on now. A few cheap statements, so of about one moment. Raises Unavailable."""
