"""Jobledger as it is measured: the processes of this checkout."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Self

import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.migrate import known_migrations, migrate
from adapters.redis.names import RELAY
from benchmarks.history import write_history
from benchmarks.processes import python, until
from benchmarks.servers import Servers
from benchmarks.service import ALL, DATABASE, Service
from benchmarks.tools import HERE
from commands.ports import Append
from domain.job import TRANSITIONS, create

_PAGE = 1_000


def template(servers: Servers) -> str:
    """The name of a database with this checkout's schema and no job, to be copied; made if there is none."""
    schema = sha256(b"".join(migration.statements for migration in known_migrations()))
    name = f"jobledger_{schema.hexdigest()[:12]}"
    if not servers.has(name):
        asyncio.run(migrate(servers.make_database(name), TRANSITIONS))
    return name


def aged_database(servers: Servers, *, jobs: int) -> str:
    """The name of a database that holds so many plain jobs, with this checkout's schema; made once, and kept."""
    name = f"jobs_{jobs}"
    if not servers.has(name):
        draft = f"{name}_new"
        write_history(servers.make_database(draft, template=template(servers)), jobs=jobs)
        servers.rename_database(draft, name)
    asyncio.run(migrate(servers.url_of(name), TRANSITIONS))
    return name


class Jobledger(Service):
    """This checkout's processes, with their default settings."""

    name = "Jobledger"
    kinds = ALL
    needs = "nothing"
    settings_told = "all settings as they are by default"
    job_type = "NOOP"

    def __enter__(self) -> Self:
        super().__enter__()
        self._base = self._wanted = self._head()
        if {"dispatcher", "projector"} <= self._counts.keys():
            until(self._stands_at_head, what="dispatcher and projector stand at the log's head")
        return self

    def fill(self, count: int) -> None:
        asyncio.run(self._append_created(count))
        until(self._stands_at_head, what="dispatcher and projector have seen what was filled in")

    def until_completed(self, count: int) -> None:
        # A job has three events; what the projector has seen is in the table. Counted once more at the end of the run.
        self._wanted += 3 * count
        until(lambda: self._projected() >= self._wanted, what="all jobs are completed", look=0.002)

    def completed_in_table(self) -> int:
        [[count]] = self.db.execute(
            "select count(*) from events e join jobs j on j.id = e.job_id"
            " where e.position > %s and e.type = 'Created' and j.status = 'completed'",
            [self._base],
        )
        return int(count)

    async def _append_created(self, count: int) -> None:
        async with PostgresEventLog(self.url, application="bench") as log:
            for done in range(0, count, _PAGE):
                events = create(type=self.job_type, priority="default", payload=b'{"number":7}', max_attempts=3)
                await log.append(
                    [
                        Append(str(uuid_utils.uuid7()), expected=0, events=events, actor="bench")
                        for _ in range(min(_PAGE, count - done))
                    ]
                )

    def _head(self) -> int:
        [[head]] = self.db.execute("select coalesce((select position from events order by position desc limit 1), 0)")
        return int(head)

    def _projected(self) -> int:
        [[position]] = self.db.execute("select position from checkpoints where name = 'jobs'")
        return int(position)

    def relayed(self) -> int:
        """Up to which position the queue in Redis has been filled."""
        return int(str(self.redis.hget(RELAY, "position") or 0))

    def _stands_at_head(self) -> bool:
        head = self._head()
        return self._projected() == head and self.relayed() == head

    def _make_database(self) -> str:
        return self.bench.servers.make_database(DATABASE, template=template(self.bench.servers))

    def _start(self, kind: str, environ: dict[str, str]) -> None:
        self._children.start(kind, python("-m", "jobledger", kind), environ=environ, cwd=self.bench.scratch)

    def _ready(self, kind: str) -> str:
        return f"{kind} ready"

    def _own_environment(self) -> dict[str, object]:
        return {
            "LOG_FORMAT": "json",
            "DATA_DIR": self.bench.scratch / "data",
            "PYTHONPATH": HERE / "job_types",
            "LIVENESS_SECONDS": 600,  # a worker that was paused while the queue was filled is not dead
        }


class JobledgerBatches(Jobledger):
    """With a job type that takes up to 1,000 jobs in one call."""

    settings_told = "a job type with batch=1000, WORKER_CONCURRENCY=1000; all else as it is by default"
    job_type = "NOOP_BATCH"

    def _own_environment(self) -> dict[str, object]:
        return super()._own_environment() | {"WORKER_CONCURRENCY": 1_000}
