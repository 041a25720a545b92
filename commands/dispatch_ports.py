"""What the dispatcher's loops need of the database beside the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from domain.job import Job


class DueJobs(Struct, frozen=True):
    """Jobs whose wait is over by the database's clock, and the seconds until the next one's is (None: none soon)."""

    jobs: Sequence[Job]
    next_in: float | None


class WaitingJobs(Protocol):
    """The jobs that wait for their time."""

    async def due(self, *, limit: int) -> DueJobs:
        """The first `limit` due jobs, the longest overdue first. As old as `jobs`. Raises Unavailable."""


class WorkerTable(Protocol):
    """The rows of `workers`, seen by the one who judges them."""

    async def counters(self) -> Mapping[str, int]:
        """Each worker's heartbeat counter. Raises Unavailable."""

    async def remove(self, worker: str, *, counter: int) -> bool:
        """Delete the worker's row if its counter is still that; whether it was. Raises Unavailable."""

    async def orphans(self, *, limit: int) -> Sequence[Job]:
        """Jobs that `jobs` shows as run by a worker without a row. Raises Unavailable."""


class Lease(Protocol):
    """Who leads. It saves work; nothing is wrong if two believe that they lead."""

    async def hold(self, *, relayed_position: int, redis_state: str) -> bool:
        """Take or keep the lease, and report; whether it is held. Raises Unavailable."""

    async def give_up(self) -> None:
        """Let another lead at once. Raises Unavailable."""


class ExpiredKeys(Protocol):
    """Idempotency keys past their time."""

    async def sweep(self, *, older_than_hours: float) -> int:
        """Delete them; how many there were. Raises Unavailable."""
