"""The schema's migrations, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import psycopg
import pytest
import redis
import structlog
from psycopg import AsyncConnection

from adapters.postgres.migrate import Migration, SchemaMismatch, known_migrations, migrate, schema_fits, wait_for_schema
from domain.job import TRANSITIONS
from tests.until import until

_FIRST = Migration(1, "first", b"create table transitions (before text, after text, primary key (before, after))")
_SECOND = Migration(2, "second", b"create table second (n int); insert into second values (1)")


async def test_a_fresh_database_gets_every_migration_in_order_and_the_transitions(empty_postgres_url: str) -> None:
    applied = await migrate(empty_postgres_url, TRANSITIONS)
    assert applied == [f"{m.version:04}_{m.name}" for m in known_migrations()]
    with psycopg.connect(empty_postgres_url) as db:
        assert frozenset(db.execute("select before, after from transitions").fetchall()) == TRANSITIONS
        recorded = db.execute("select version, checksum from schema_migrations order by version").fetchall()
    assert recorded == [(m.version, m.checksum) for m in known_migrations()]


async def test_migrating_again_applies_nothing_and_brings_the_transitions_in_step(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:
        db.execute("delete from transitions where after = 'Started'")
        db.execute("insert into transitions values ('Completed', 'Started')")
    assert await migrate(postgres_url, TRANSITIONS) == []
    with psycopg.connect(postgres_url) as db:
        assert frozenset(db.execute("select before, after from transitions").fetchall()) == TRANSITIONS


async def test_of_several_that_migrate_at_once_one_applies_each_migration(empty_postgres_url: str) -> None:
    answers = await asyncio.gather(*(migrate(empty_postgres_url, TRANSITIONS) for _ in range(8)))
    assert sorted(name for answer in answers for name in answer) == [
        f"{m.version:04}_{m.name}" for m in known_migrations()
    ]


async def test_a_migration_that_fails_leaves_nothing_behind_and_those_before_it_stay(empty_postgres_url: str) -> None:
    broken = Migration(2, "broken", b"create table half (n int); select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(empty_postgres_url, [], migrations=[_FIRST, broken])
    with psycopg.connect(empty_postgres_url) as db:
        assert db.execute("select to_regclass('half')").fetchone() == (None,)
    assert await migrate(empty_postgres_url, [], migrations=[_FIRST, _SECOND]) == ["0002_second"]


async def test_an_older_release_refuses_a_newer_database(empty_postgres_url: str) -> None:
    await migrate(empty_postgres_url, [], migrations=[_FIRST, _SECOND])
    with pytest.raises(SchemaMismatch, match="0002_second, which this release does not know"):
        await migrate(empty_postgres_url, [], migrations=[_FIRST])


async def test_a_newer_schema_that_serves_an_older_release_is_left_as_it_is(empty_postgres_url: str) -> None:
    third = Migration(3, "third", b"-- It adds to the second.\n-- Serves releases from 0002 on.\nselect 1")
    pairs = [("", "Created"), ("Created", "Archived")]
    await migrate(empty_postgres_url, pairs, migrations=[_FIRST, _SECOND, third])

    assert await migrate(empty_postgres_url, [("", "Created")], migrations=[_FIRST, _SECOND]) == []
    with psycopg.connect(empty_postgres_url) as db:
        assert sorted(db.execute("select before, after from transitions").fetchall()) == pairs
    with pytest.raises(SchemaMismatch, match=r"0002_second, .* does not serve this one"):
        await migrate(empty_postgres_url, [], migrations=[_FIRST])


async def test_a_schema_of_before_migrations_said_whom_they_serve_is_taken_on(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url) as db:
        db.execute(
            "create table schema_migrations (version int primary key, name text not null, checksum text not null,"
            " applied_at timestamptz not null default clock_timestamp())"
        )
        db.execute(_FIRST.statements)
        db.execute("insert into schema_migrations values (1, 'first', %s)", [_FIRST.checksum])
    assert await migrate(empty_postgres_url, [], migrations=[_FIRST, _SECOND]) == ["0002_second"]


def test_a_migration_serves_none_but_its_own_release_unless_it_says_so() -> None:
    assert _SECOND.serves == 2
    assert Migration(7, "x", b"-- Serves releases from 0004 on.\nselect 1").serves == 4
    assert all(m.serves <= m.version for m in known_migrations())


async def test_an_applied_migration_that_was_changed_since_is_refused(empty_postgres_url: str) -> None:
    await migrate(empty_postgres_url, [], migrations=[_FIRST])
    changed = Migration(1, "first", _FIRST.statements + b" ")
    with pytest.raises(SchemaMismatch, match="0001_first was applied with other contents"):
        await migrate(empty_postgres_url, [], migrations=[changed])


async def test_a_migration_below_the_newest_applied_one_is_refused(empty_postgres_url: str) -> None:
    await migrate(empty_postgres_url, [], migrations=[_FIRST, Migration(3, "third", b"select 1")])
    with pytest.raises(SchemaMismatch, match="0002_second is missing below"):
        await migrate(empty_postgres_url, [], migrations=[_FIRST, _SECOND, Migration(3, "third", b"select 1")])


async def test_a_schema_fits_only_with_all_migrations_and_transitions(
    postgres_url: str, empty_postgres_url: str
) -> None:
    async with await AsyncConnection.connect(empty_postgres_url) as empty:
        assert not await schema_fits(empty, TRANSITIONS)
    async with await AsyncConnection.connect(postgres_url) as db:
        assert await schema_fits(db, TRANSITIONS)
        assert not await schema_fits(db, {*TRANSITIONS, ("Completed", "Archived")})
        await db.execute("delete from schema_migrations where version = (select max(version) from schema_migrations)")
        assert not await schema_fits(db, TRANSITIONS)


async def test_a_schema_fits_an_older_release_that_it_serves(postgres_url: str) -> None:
    newest = known_migrations()[-1].version
    async with await AsyncConnection.connect(postgres_url, autocommit=True) as db:
        await db.execute(
            "insert into schema_migrations (version, name, checksum, serves) values (9999, 'next', 'x', %s)", [newest]
        )
        assert await schema_fits(db, TRANSITIONS)
        await db.execute("update schema_migrations set serves = %s where version = 9999", [newest + 1])
        with pytest.raises(SchemaMismatch, match="9999_next"):
            await schema_fits(db, TRANSITIONS)


async def test_a_process_waits_until_somebody_has_migrated_and_says_so_once_at_first(empty_postgres_url: str) -> None:
    with structlog.testing.capture_logs() as logs:
        waiting = asyncio.create_task(wait_for_schema(empty_postgres_url, TRANSITIONS))
        await until(lambda: bool(logs) or waiting.done())
        assert not waiting.done()
        await migrate(empty_postgres_url, TRANSITIONS)
        async with asyncio.timeout(20):
            await waiting
    assert logs[0]["event"] == "waiting for the database"
    assert "jobledger migrate" in logs[0]["problem"]


async def test_a_process_does_not_wait_for_a_newer_schema_that_never_fits(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:
        db.execute("insert into schema_migrations (version, name, checksum) values (9999, 'future', 'x')")
    with pytest.raises(SchemaMismatch, match="9999_future"):
        await wait_for_schema(postgres_url, TRANSITIONS)


def test_the_command_says_what_it_applied(empty_postgres_url: str) -> None:
    environ = os.environ | {"DATABASE_URL": empty_postgres_url}
    command = [sys.executable, "-m", "jobledger", "migrate"]
    said = [subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0].splitlines() == [f"applied {m.version:04}_{m.name}" for m in known_migrations()]
    assert said[1] == "the schema is up to date\n"


def test_each_test_sees_an_empty_queue(redis_url: str) -> None:
    _leave_something_in_an_empty_queue(redis_url)


def test_each_test_sees_an_empty_queue_again(redis_url: str) -> None:
    _leave_something_in_an_empty_queue(redis_url)


def _leave_something_in_an_empty_queue(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.xadd("high_priority", {"a": "b"})
