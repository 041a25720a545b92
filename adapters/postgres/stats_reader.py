"""The counts out of the table `stats`, which the projector keeps."""

from __future__ import annotations

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME, translated
from commands.ports import Unavailable
from commands.stats import MAX_PAIRS, Count, Counts

_STATS = load_statement("stats")


class PostgresStatsReader:
    """Implements commands.stats.StatsReader over an open pool."""

    def __init__(self, pool: Connections, *, pairs: int = MAX_PAIRS) -> None:
        self._pool = pool
        self._pairs = pairs

    async def read(self) -> Counts:
        """See StatsReader.read."""
        with translated("read the counts"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(_STATS, {"pairs": self._pairs})
                rows = await cursor.fetchall()
        if not rows:  # the row that a migration makes is gone
            raise Unavailable("read the counts: the checkpoint of stats has no row", dependency=NAME)
        at, position, head = rows[0][:3]
        counts = [
            Count(measure, job_type, priority, span // 60, bucket, amount)
            for _, _, _, measure, job_type, priority, span, bucket, amount in rows
            if measure is not None  # an empty log has one row, to say that it is empty
        ]
        return Counts(at, position, head, tuple(counts))
