"""What is known of each part of the service, as Postgres holds it: the API needs no other connection to say how all are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from commands.queue_ports import Source


class Health(Struct, frozen=True):
    """One reading. All ages are seconds on the database's clock; None: there is nothing to measure from."""

    schema_fits: bool  # whether the schema is one that this release can work with
    head: int  # position of the newest event, 0 in an empty log
    projected: int  # position up to which `jobs` shows the log
    projection_age: float | None  # age of the oldest event that `jobs` does not show yet
    relayed: int  # position up to which the log has been relayed to the queue
    dispatcher: str | None  # who leads; None: nobody holds the lease now
    redis_state: str  # as the dispatcher saw it last: "ok", or what is wrong
    redis_reported_at: datetime | None
    redis_report_age: float | None
    workers: int  # number of those registered
    workers_direct: int = 0  # those of them that claim from `jobs`, since they cannot read the queue
    workers_unable: int = 0  # those of them that cannot claim


# What can be said of a database whose schema is not ours (yet).
NOTHING_KNOWN = Health(
    schema_fits=False,
    head=0,
    projected=0,
    projection_age=None,
    relayed=0,
    dispatcher=None,
    redis_state="unknown",
    redis_reported_at=None,
    redis_report_age=None,
    workers=0,
)


class WorkerBeat(Struct, frozen=True):
    """What one worker's row says."""

    counter: int  # raised once a second
    claims_from: Source | None  # None: it cannot claim


class HealthReader(Protocol):
    """A look at the state of the parts."""

    async def read(self) -> Health:
        """What is known now; NOTHING_KNOWN if the schema does not fit. Raises Unavailable when Postgres cannot be asked."""

    async def workers(self) -> Mapping[str, WorkerBeat]:
        """The registered workers by name. Raises Unavailable."""
