"""The table `progress`: how far running attempts are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.progress import Attempt, Progress


class PostgresProgressBoard:
    """Implements commands.progress.ProgressBoard."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def show(self, said: Mapping[Attempt, tuple[float, str]], *, over: Collection[Attempt]) -> None:
        """See ProgressBoard.show."""
        parameters = {
            "job_ids": [attempt.job_id for attempt in said],
            "attempts": [attempt.number for attempt in said],
            "fractions": [fraction for fraction, _ in said.values()],
            "notes": [note for _, note in said.values()],
            "over_ids": [attempt.job_id for attempt in over],
            "over_attempts": [attempt.number for attempt in over],
        }
        with translated("show progress"):
            async with self._pool.connection() as connection:
                await connection.execute(load_statement("show_progress"), parameters)

    async def read(self, job_ids: Sequence[str]) -> Mapping[str, Progress]:
        """See ProgressBoard.read."""
        with translated("read progress"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement("progress"), {"job_ids": list(job_ids)})
                return {job_id: Progress(*row) for job_id, *row in await cursor.fetchall()}

    async def sweep(self, *, older_than_hours: float) -> int:
        """See ProgressBoard.sweep."""
        with translated("sweep progress"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(load_statement("sweep_progress"), {"hours": older_than_hours})
                return cursor.rowcount
