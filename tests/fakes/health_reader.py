"""The state of all parts, as a test says it is: HealthReader in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from commands.health import Health, WorkerBeat
from commands.ports import Unavailable

ALL_WELL = Health(
    schema_fits=True,
    head=7,
    projected=7,
    projection_age=None,
    relayed=7,
    dispatcher="dispatcher-1",
    redis_state="ok",
    redis_reported_at=datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    redis_report_age=0.5,
    workers=1,
)


class FakeHealthReader:
    """Implements commands.health.HealthReader. `state`: what it reads; None: Postgres is away."""

    def __init__(self) -> None:
        self.state: Health | None = ALL_WELL
        self.beats: dict[str, WorkerBeat] = {}
        self.readings = 0

    async def read(self) -> Health:
        """See HealthReader.read."""
        self.readings += 1
        if self.state is None:
            raise Unavailable("the database is away", dependency="PostgreSQL")
        return self.state

    async def workers(self) -> Mapping[str, WorkerBeat]:
        """See HealthReader.workers."""
        if self.state is None:
            raise Unavailable("the database is away", dependency="PostgreSQL")
        return dict(self.beats)
