"""The reference as it is measured: Express 5, BullMQ, pg and nodemailer; its code is in benchmarks/reference."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import psycopg

from benchmarks.processes import environment, until
from benchmarks.service import DATABASE, Service
from benchmarks.tools import HERE


class Reference(Service):
    """Express, BullMQ, pg: benchmarks/reference."""

    name = "reference"
    kinds = ("api", "worker")
    needs = "node"
    settings_told = (
        "NODE_ENV=production; 20 connections a process, prepared statements, auto-pipelining; concurrency 100"
    )

    def __enter__(self) -> Self:
        super().__enter__()
        self._wanted = 0
        return self

    def fill(self, count: int) -> None:
        child = self._children.start(
            "fill",
            [self._node(), HERE / "reference" / "fill.js", str(count)],
            environ=environment(DATABASE_URL=self.url, REDIS_URL=self.bench.servers.redis_url),
        )
        child.ended()

    def until_completed(self, count: int) -> None:
        # A job leaves Redis after its row says that it is completed: so when Redis has none, all rows do.
        self._wanted += count
        until(self._is_drained, what="all jobs are completed", look=0.002)
        until(lambda: self.completed_in_table() == self._wanted, what=f"{self._wanted} rows are completed", within=60)

    def completed_in_table(self) -> int:
        [[count]] = self.db.execute("select count(*) from jobs where status = 'completed'")
        return int(count)

    def _is_drained(self) -> bool:
        with self.redis.pipeline(transaction=False) as asked:
            for queue in ("high_priority", "default"):
                asked.llen(f"bull:{queue}:wait")
                asked.llen(f"bull:{queue}:active")
            return not any(asked.execute())

    def _node(self) -> Path:
        assert self.bench.tools.node is not None
        return self.bench.tools.node

    def _make_database(self) -> str:
        url = self.bench.servers.make_database(DATABASE)
        with psycopg.connect(url) as db:
            db.execute((HERE / "reference" / "schema.sql").read_bytes())
        return url

    def _start(self, kind: str, environ: dict[str, str]) -> None:
        self._children.start(kind, [self._node(), HERE / "reference" / f"{kind}.js"], environ=environ)

    def _ready(self, kind: str) -> str:
        return "ready"

    def _own_environment(self) -> dict[str, object]:
        return {"NODE_ENV": "production"}
