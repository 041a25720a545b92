"""The log's order under many writers: no gap, no double, no event that becomes visible behind a reader's back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import psycopg
import pytest
import uuid_utils
from msgspec import Struct, field

from adapters.postgres.connecting import connect
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.statements import load_statement
from commands.ports import Append, Appended, Conflict
from domain import job as verbs
from domain.events import NewEvent, Started, encode_data
from tests.real_log import connected, head, register_workers

WRITERS = 8
_CREATED = encode_data(verbs.create(type="T", priority="default", payload=b"1", max_attempts=3)[0].event).decode()


class Tail(Struct):
    """A reader that follows the log as every reader does: `position > cursor order by position`."""

    positions: list[int] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)

    async def follow(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        cursor = 0
        stopping = False
        while True:
            rows = await (
                await connection.execute(
                    "select position, recorded_at from events where position > %s order by position limit 50", [cursor]
                )
            ).fetchall()
            for position, recorded_at in rows:
                self.positions.append(position)
                self.times.append(recorded_at)
                cursor = position
            if not rows and stopping:
                return
            stopping = stop.is_set()
            await asyncio.sleep(0)


def new_id() -> str:
    return str(uuid_utils.uuid7())


@pytest.fixture
async def writers(postgres_url: str) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    async with AsyncExitStack() as opened:
        connections = []
        for _ in range(WRITERS):
            connection = await connect(postgres_url, application="writer")
            opened.push_async_callback(connection.close)
            connections.append(connection)
        yield connections


async def append_raw(connection: psycopg.AsyncConnection[Any], job_ids: list[str]) -> None:
    n = len(job_ids)
    rows = await (
        await connection.execute(
            load_statement("append_events"),
            (list(range(n)), job_ids, [1] * n, ["Created"] * n, [_CREATED] * n, ["1"] * n, ["raw"] * n, [], []),
        )
    ).fetchall()
    assert {row[1] for row in rows} == {"appended"}


async def test_a_tailing_reader_misses_nothing_whatever_the_writers_do(
    postgres_url: str, writers: list[psycopg.AsyncConnection[Any]]
) -> None:
    """Writers pause and roll back with the lock in their hands; backends are killed in between; others use the front door."""
    acknowledged: set[str] = set()
    rolled_back: set[str] = set()
    dice = random.Random(5)

    async def write(connection: psycopg.AsyncConnection[Any]) -> None:
        for _ in range(25):
            job_ids = [new_id() for _ in range(dice.randint(1, 4))]
            ending = dice.choice(["commit", "commit", "roll back"])
            async with connection.transaction(force_rollback=ending == "roll back"):
                await append_raw(connection, job_ids)
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.001, 0.005]))
            (acknowledged if ending == "commit" else rolled_back).update(job_ids)
            await asyncio.sleep(dice.choice([0.0, 0.002]))

    async def be_killed() -> None:
        """Append, and die before the commit: the server gives the lock to the next."""
        for _ in range(8):
            connection = await connect(postgres_url, application="victim")
            job_ids = [new_id()]
            rolled_back.update(job_ids)
            with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - the kill may be seen at any of these
                async with connection.transaction():
                    await append_raw(connection, job_ids)
                    await admin.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
                    await connection.execute("select 1")
            await connection.close()

    async def use(log: PostgresEventLog) -> None:
        for _ in range(25):
            commands = [
                Append(new_id(), 0, verbs.create(type="T", priority="high", payload=b"1", max_attempts=1), "log")
                for _ in range(3)
            ]
            answers = await log.append(commands)
            assert {type(answer) for answer in answers} == {Appended}
            acknowledged.update(command.job_id for command in commands)

    tail, stop = Tail(), asyncio.Event()
    async with AsyncExitStack() as opened:
        admin = await opened.enter_async_context(await connect(postgres_url, application="admin"))
        reader = await opened.enter_async_context(await connect(postgres_url, application="reader"))
        logs = [
            await opened.enter_async_context(PostgresEventLog(postgres_url, application="log", patience=60.0))
            for _ in range(2)
        ]
        following = asyncio.create_task(tail.follow(reader, stop))
        try:
            await asyncio.gather(*map(write, writers), *map(use, logs), be_killed())
        finally:
            stop.set()
            await following

    with connected(postgres_url) as db:
        there = {job_id for (job_id,) in db.execute("select job_id::text from events").fetchall()}
    assert there == acknowledged
    assert not there & rolled_back
    assert tail.positions == list(range(1, len(there) + 1))
    assert tail.times == sorted(tail.times)


async def test_of_two_writers_with_one_expected_version_one_wins_a_thousand_times(postgres_url: str) -> None:
    rounds = 1_000
    with connected(postgres_url) as db:
        register_workers(db, ["w1", "w2"])
    async with (
        PostgresEventLog(postgres_url, application="one", patience=60.0) as one,
        PostgresEventLog(postgres_url, application="two", patience=60.0) as two,
    ):
        job_ids = [new_id() for _ in range(rounds)]
        for start in range(0, rounds, 500):
            await one.append(
                [
                    Append(job_id, 0, verbs.create(type="T", priority="high", payload=b"1", max_attempts=1), "c")
                    for job_id in job_ids[start : start + 500]
                ]
            )
        winners: list[str] = []
        for job_id in job_ids:
            [[first], [second]] = await asyncio.gather(
                one.append([Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")]),
                two.append([Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w2"))], "w2")]),
            )
            won, lost = (first, second) if isinstance(first, Appended) else (second, first)
            assert isinstance(won, Appended)
            assert lost == Conflict(found_type="Started", last_version=2, last_type="Started")
            winners.append("w1" if won is first else "w2")

    with connected(postgres_url) as db:
        started: dict[str, str] = dict(
            db.execute("select job_id::text, data ->> 'worker' from events where type = 'Started'").fetchall()
        )
        assert started == dict(zip(job_ids, winners, strict=True))
        assert head(db) == 2 * rounds


async def test_the_logs_time_does_not_fall_when_the_clock_steps_back(postgres_url: str) -> None:
    """As if the newest event had been written an hour ahead of now."""
    with connected(postgres_url) as db:
        db.execute(
            "insert into events (position, job_id, version, type, data, actor, recorded_at)"
            " values (1, %s, 1, 'Created', %s, 'x', date_trunc('milliseconds', now()) + interval '1 hour')",
            [new_id(), _CREATED],
        )
        [[ahead]] = db.execute("select recorded_at from events").fetchall()
        async with PostgresEventLog(postgres_url, application="clock") as log:
            [answer] = await log.append(
                [Append(new_id(), 0, verbs.create(type="T", priority="high", payload=b"1", max_attempts=1), "c")]
            )
    assert isinstance(answer, Appended)
    assert (answer.position, answer.recorded_at) == (2, ahead)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_no_other_isolation_than_read_committed_may_append(
    writers: list[psycopg.AsyncConnection[Any]], isolation: str
) -> None:
    await writers[0].execute(f"set default_transaction_isolation = '{isolation}'")
    with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
        await append_raw(writers[0], [new_id()])
    await writers[0].execute("set default_transaction_isolation = 'read committed'")
    await append_raw(writers[0], [new_id()])
