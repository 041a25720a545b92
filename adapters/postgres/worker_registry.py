"""The table `workers`, seen by a worker: synchronous, over a connection of its own, for the heartbeat's thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, Cursor

from adapters.postgres.connecting import connect_in_thread
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.liveness import HeartbeatAnswer, RunningAttempt
from commands.queue_ports import Source


class PostgresWorkerRegistry:
    """Implements commands.liveness.WorkerRegistry; for one thread at a time. The connection is made anew when lost."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: Connection[Any] | None = None

    def register(self, worker: str) -> None:
        """See WorkerRegistry.register."""
        self._execute("register_worker", {"worker": worker})

    def beat(self, worker: str, running: Sequence[RunningAttempt], *, claims_from: Source | None) -> HeartbeatAnswer:
        """See WorkerRegistry.beat."""
        cursor = self._execute(
            "heartbeat",
            {
                "worker": worker,
                "claims_from": claims_from,
                "job_ids": [r.job_id for r in running],
                "versions": [r.version for r in running],
            },
        )
        row = cursor.fetchone()
        assert row is not None  # a select without from gives one row
        return HeartbeatAnswer(*row)

    def deregister(self, worker: str) -> None:
        """See WorkerRegistry.deregister."""
        self._execute("deregister_worker", {"worker": worker})

    def close(self) -> None:
        """See WorkerRegistry.close."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Cursor[Any]:
        with translated(statement.replace("_", " ")):
            if self._connection is None or self._connection.closed:
                self._connection = connect_in_thread(self._database_url, application="jobledger heartbeat")
            return self._connection.execute(load_statement(statement), parameters)
