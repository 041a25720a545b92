"""The counts, as a test says they are: StatsReader in memory."""

from __future__ import annotations

from datetime import UTC, datetime

from commands.ports import Unavailable
from commands.stats import Counts

NOTHING_COUNTED = Counts(datetime(2026, 1, 27, 10, 30, 4, tzinfo=UTC), 0, 0, ())


class FakeStatsReader:
    """Implements commands.stats.StatsReader. `counts`: what it reads; None: Postgres is away."""

    def __init__(self) -> None:
        self.counts: Counts | None = NOTHING_COUNTED

    async def read(self) -> Counts:
        """See StatsReader.read."""
        if self.counts is None:
            raise Unavailable("the database is away", dependency="PostgreSQL")
        return self.counts
