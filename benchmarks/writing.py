"""Writes that are measured without a service: run as a process of its own, so that its CPU time can be told apart.

    python -P -m benchmarks.writing KIND URL BATCHES SIZE

says "ready", waits for "go", does it, says "done". KIND:
  append   BATCHES times SIZE Created through the event store
  insert   the same rows by one plain insert a batch: the limit of that
  sql      what a drain writes of BATCHES times SIZE jobs, without a job system: Started and Completed into the log, the rows of
           `jobs` brought up to date, a statement a batch for each
  valkey   what a drain does in the queue: XREADGROUP, XACK and XDEL, a round trip a batch for each
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import psycopg
import redis
import uuid_utils

from adapters.postgres.arrays import Array, int4_array, register_arrays, text_array, utf8_array, uuid_array, uuid_bytes
from adapters.postgres.connecting import connection_string
from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Append
from domain.events import Completed, Created, Event, Started, encode_data, type_name
from domain.job import create

_INSERT = (
    "insert into events (position, job_id, version, type, data, content, actor, recorded_at)"
    " select %s::bigint + n, job_id, version, type, data::json, content::json, actor,"
    " date_trunc('milliseconds', clock_timestamp())"
    " from unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[])"
    " with ordinality as u (job_id, version, type, data, content, actor, n)"
)
_INSERT_JOBS = (
    "insert into jobs (id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at, queued_position)"
    " select id, 1, 'Created', 'NOOP', 'default', 0, 0, 3, clock_timestamp(), clock_timestamp(), %s::bigint + n"
    " from unnest(%s::uuid[]) with ordinality as u (id, n)"
)
_COMPLETE_JOBS = (
    "update jobs set version = 3, state = 'Completed', attempts = 1, updated_at = clock_timestamp(), result = 'null',"
    " queued_position = null where id = any (%s::uuid[])"
)
_PAYLOAD = b'{"number":7}'
_CREATED = Created(type="NOOP", priority="default", attempt=1, used=0, max_attempts=3)
_STREAM, _GROUP = "bench", "bench"


def main(kind: str, url: str, batches: int, size: int) -> None:
    """Do what the module's docstring says."""
    match kind:
        case "append":
            asyncio.run(_append(url, batches, size))
        case "insert":
            _insert(url, batches, size)
        case "sql":
            _sql(url, batches, size)
        case "valkey":
            _valkey(url, batches, size)


def _wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


async def _append(url: str, batches: int, size: int) -> None:
    async with PostgresEventLog(url, application="bench") as log:
        await log.append(_commands(size))
        asked = [_commands(size) for _ in range(batches)]
        _wait_for_go()
        for commands in asked:
            await log.append(commands)
    print("done", flush=True)


def _commands(size: int) -> list[Append]:
    return [
        Append(
            str(uuid_utils.uuid7()),
            expected=0,
            events=create(type="NOOP", priority="default", payload=_PAYLOAD, max_attempts=3),
            actor="bench",
        )
        for _ in range(size)
    ]


class _Inserter:
    """Plain inserts into the log, with positions that are counted here."""

    def __init__(self, url: str) -> None:
        self._db = psycopg.connect(connection_string(url, application="bench"), autocommit=True, prepare_threshold=0)
        register_arrays(self._db)
        self._cursor = self._db.cursor(binary=True)
        self.head = 0

    def insert(self, job_ids: Sequence[bytes], version: int, event: Event, content: bytes | None, actor: bytes) -> None:
        count = len(job_ids)
        self._cursor.execute(
            _INSERT,
            (
                self.head,
                uuid_array(job_ids),
                int4_array([version] * count),
                text_array([type_name(event)] * count),
                utf8_array([encode_data(event) for _ in job_ids]),
                utf8_array([content] * count),
                utf8_array([actor] * count),
            ),
        )
        self.head += count

    def execute(self, statement: str, *parameters: int | Array) -> None:
        self._cursor.execute(statement.encode(), parameters)


def _new_ids(size: int) -> list[bytes]:
    return [uuid_bytes(str(uuid_utils.uuid7())) for _ in range(size)]


def _insert(url: str, batches: int, size: int) -> None:
    inserter = _Inserter(url)
    inserter.insert(_new_ids(size), 1, _CREATED, _PAYLOAD, b"bench")
    asked = [_new_ids(size) for _ in range(batches)]
    _wait_for_go()
    for ids in asked:
        inserter.insert(ids, 1, _CREATED, _PAYLOAD, b"bench")
    print("done", flush=True)


def _sql(url: str, batches: int, size: int) -> None:
    inserter = _Inserter(url)
    asked = [_new_ids(size) for _ in range(batches)]
    for ids in asked:
        inserter.execute(_INSERT_JOBS, inserter.head, uuid_array(ids))
        inserter.insert(ids, 1, _CREATED, _PAYLOAD, b"bench")
    _wait_for_go()
    for ids in asked:
        inserter.insert(ids, 2, Started(attempt=1, worker="bench"), None, b"bench")
        inserter.insert(ids, 3, Completed(attempt=1, worker="bench"), b"null", b"bench")
        inserter.execute(_COMPLETE_JOBS, uuid_array(ids))
    print("done", flush=True)


def _valkey(url: str, batches: int, size: int) -> None:
    with redis.Redis.from_url(url) as client:
        client.xgroup_create(_STREAM, _GROUP, "0", mkstream=True)
        number = 0
        for _ in range(batches):
            with client.pipeline(transaction=False) as filling:
                for _ in range(size):
                    number += 1
                    entry = {"job": str(uuid_utils.uuid7()), "version": 1, "type": "NOOP", "attempt": 1}
                    filling.xadd(_STREAM, entry, id=f"{number}-0")
                filling.execute()
        _wait_for_go()
        while True:
            found: Any = client.xreadgroup(_GROUP, "bench", {_STREAM: ">"}, count=size)
            if not found:
                break
            ids = [entry_id for entry_id, _ in found[0][1]]
            with client.pipeline(transaction=True) as done:
                done.xack(_STREAM, _GROUP, *ids)
                done.xdel(_STREAM, *ids)
                done.execute()
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
