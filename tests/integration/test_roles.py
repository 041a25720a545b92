"""Owner, service and reader as roles of their own: what each can do, and all that the service tries in vain."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psycopg
import pytest
import uuid_utils
from psycopg import errors, sql

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.migrate import MayNotMigrate, migrate
from adapters.postgres.roles import NotSeparate, RolesMissing
from commands.ports import Append, Appended
from domain.events import Created, NewEvent
from domain.job import TRANSITIONS
from tests.forking import run_module
from tests.rebuilding import rebuilt, shape_of
from tests.roles import RoleUrls, database_of_an_owner, make_reader, user_of
from tests.verifying import broken, verified


@pytest.fixture
def roles(empty_postgres_url: str) -> Iterator[RoleUrls]:
    with database_of_an_owner(empty_postgres_url) as urls:
        yield urls


def _created(job_id: str) -> Append:
    event = Created(priority="default", type="T", attempt=1, used=0, max_attempts=3)
    return Append(job_id=job_id, expected=0, events=[NewEvent(event, content=b"{}")], actor="anonymous")


async def _append_one(url: str) -> str:
    job_id = str(uuid_utils.uuid7())
    async with PostgresEventLog(url, application="test") as log:
        (answer,) = await log.append([_created(job_id)])
    assert isinstance(answer, Appended), answer
    return job_id


# Each is refused for want of a right. Nothing here is a matter of the triggers alone.
_HARM = [
    "update events set actor = 'somebody else'",
    "update events set content = null",
    "delete from events",
    "truncate events",
    "insert into events values (2, gen_random_uuid(), 1, 'Created', '{}', '{}', 'me', now())",
    "copy events from program 'true'",
    "merge into events e using (select 1) s on true when matched then delete",
    "select * from events for update",
    "lock table events in access exclusive mode",
    "alter table events disable trigger all",
    "alter table events add column mine text",
    "drop trigger immutable_rows on events",
    "drop table events",
    "create trigger mine before insert on events for each row execute function events_are_immutable()",
    "create rule mine as on insert to events do instead nothing",
    "create index on events (actor)",
    "create policy mine on events using (false)",
    "set session_replication_role = replica",
    "set role jobledger",
    "set session authorization jobledger",
    "alter function events_are_immutable() set search_path = pg_temp",
    "create or replace function events_are_immutable() returns trigger language plpgsql as 'begin return new; end'",
    "drop function events_are_immutable() cascade",
    "alter function append_events reset all",
    "update log set id = gen_random_uuid()",
    "insert into transitions values ('Completed', 'Started')",
    "delete from transitions",
    "delete from schema_migrations",
    "update idempotency_keys set job_id = gen_random_uuid()",
    "insert into api_keys (name, scope, digest, created_by) values ('mine', 'operate', sha256('x'), 'me')",
    "update api_keys set revoked_at = now(), revoked_by = 'me'",
    "insert into checkpoints values ('mine', 1)",
    "delete from checkpoints",
    "delete from jobs",
    "drop table jobs",
    "create table mine (n int)",
    "create function mine() returns int language sql as 'select 1'",
    "create schema mine",
    "create role mine superuser",
    "alter role current_user superuser",
    "alter default privileges for role jobledger grant all on tables to public",
    "select append_many('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    "create extension pg_stat_statements",
    "create publication mine for all tables",
]


def _is_refused(db: psycopg.Connection, harm: str) -> None:
    try:
        with db.transaction():
            db.execute(harm.encode())
    except errors.InsufficientPrivilege:
        return
    pytest.fail(f"succeeded: {harm}")


def _jobledger(*argv: str, url: str) -> subprocess.CompletedProcess[str]:
    return run_module("jobledger", *argv, environ=os.environ | {"DATABASE_URL": url})


async def test_the_service_appends_reads_and_moves_what_is_made_from_the_log(roles: RoleUrls) -> None:
    await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    job_id = await _append_one(roles.service)
    with psycopg.connect(roles.service, autocommit=True) as db:
        assert db.execute("select job_id::text, position from events").fetchall() == [(job_id, 1)]


async def test_whatever_the_service_tries_it_changes_no_event_and_chooses_no_position(roles: RoleUrls) -> None:
    await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    await _append_one(roles.service)
    with psycopg.connect(roles.superuser) as db:
        before = shape_of(db, "events")
    with psycopg.connect(roles.service, autocommit=True) as db:
        for harm in _HARM:
            _is_refused(db, harm)
        db.execute("grant all on events to public")  # only a warning; and nothing is granted
    with psycopg.connect(roles.superuser) as db:
        assert shape_of(db, "events") == before
        assert db.execute("select position, actor, content::text from events").fetchall() == [(1, "anonymous", "{}")]
    assert broken(await verified(roles.service)) == {}


async def test_what_the_service_puts_before_the_tables_is_not_seen_by_the_function_that_runs_as_the_owner(
    roles: RoleUrls,
) -> None:
    await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    with psycopg.connect(roles.service, autocommit=True) as db:
        for table in ("events", "workers", "transitions", "idempotency_keys"):
            db.execute(f"create temporary table {table} (like {table} including all)".encode())
        # With the owner's rights, if the function found the table: a way to everything.
        db.execute(
            "create function pg_temp.as_owner() returns trigger language plpgsql as"
            " $$ begin raise exception 'ran as %', current_user; end $$"
        )
        db.execute("create trigger t before insert on pg_temp.events for each row execute function pg_temp.as_owner()")
        db.execute("insert into pg_temp.transitions values ('', 'Completed')")
        db.execute("insert into pg_temp.workers (id) values ('w')")
        db.execute("set search_path = pg_temp, public")
        job_id = str(uuid_utils.uuid7())
        call = (
            "select outcome, position from append_events(array[1], array[%s]::uuid[], array[1], array[%s], array['{}'],"
            " array['{}'], array['w'], array[null]::text[], array[null]::bytea[])"
        )
        assert db.execute(call, [job_id, "Completed"]).fetchall() == [("conflict", None)]
        assert db.execute(call, [job_id, "Created"]).fetchall() == [("appended", 1)]
        assert db.execute("select count(*) from pg_temp.events").fetchone() == (0,)
        assert db.execute("select position from public.events").fetchall() == [(1,)]


async def test_a_reader_sees_what_happened_and_writes_nothing(roles: RoleUrls) -> None:
    await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    make_reader(roles)
    job_id = await _append_one(roles.service)
    for argv in (["history", job_id], ["replay", "--at-position", "1"], ["verify"]):
        done = _jobledger(*argv, url=roles.reader)
        assert done.returncode == 0, done
    with psycopg.connect(roles.reader, autocommit=True) as db:
        for harm in [*_HARM, "update checkpoints set position = 9", "insert into workers values ('w')"]:
            _is_refused(db, harm)
        with pytest.raises(errors.InsufficientPrivilege):
            db.execute("select append_events('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')")
        for secret in ("idempotency_keys", "api_keys"):
            with pytest.raises(errors.InsufficientPrivilege):
                db.execute(f"select * from {secret}".encode())


async def test_a_rebuild_is_the_owners_and_leaves_the_service_its_rights(roles: RoleUrls) -> None:
    await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    await _append_one(roles.service)
    with psycopg.connect(roles.superuser) as db:
        before = shape_of(db)
    report = await rebuilt(roles.owner, accept_differences=True)
    assert report.swapped
    with psycopg.connect(roles.superuser) as db:
        assert shape_of(db) == before
    done = _jobledger("rebuild", "jobs", url=roles.service)
    assert done.returncode == 2
    assert "DATABASE_OWNER_URL" in done.stderr


async def test_a_database_with_one_role_for_all_is_parted_by_migrating_it_again(roles: RoleUrls) -> None:
    await migrate(roles.owner, TRANSITIONS)
    job_id = await _append_one(roles.owner)
    assert await migrate(roles.owner, TRANSITIONS, service_url=roles.service) == []
    assert await migrate(roles.owner, TRANSITIONS, service_url=roles.service) == []  # and again, with nothing to do
    await _append_one(roles.service)
    with psycopg.connect(roles.service) as db:
        assert db.execute("select job_id::text from events where position = 1").fetchall() == [(job_id,)]
        with pytest.raises(errors.InsufficientPrivilege):
            db.execute("delete from events")


async def test_an_owner_that_may_make_no_roles_says_what_has_to_be_run_and_goes_on_after_that(roles: RoleUrls) -> None:
    with psycopg.connect(roles.superuser, autocommit=True) as db:
        db.execute(sql.SQL("alter role {} nocreaterole").format(sql.Identifier(user_of(roles.owner))))
        with pytest.raises(RolesMissing) as missing:
            await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
        said = str(missing.value)
        assert "service" in said
        assert "it's service" not in said  # the password
        wanted = said.partition("has to run: ")[2].replace("(that of DATABASE_URL)", "it''s service")
        for statement in wanted.removesuffix(";").split("; "):
            db.execute(statement.encode())
    assert await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
    await _append_one(roles.service)


async def test_a_service_with_the_power_of_an_owner_is_refused(roles: RoleUrls) -> None:
    for url, why in (
        (roles.owner, "the owner of the tables"),
        (roles.superuser, "is a superuser"),
        (f"postgresql://{roles.service.partition('@')[2]}", "no user"),
    ):
        with pytest.raises(NotSeparate, match=why):
            await migrate(roles.owner, TRANSITIONS, service_url=url)
    with psycopg.connect(roles.superuser) as db:
        db.execute("grant create on schema public to public")
    with pytest.raises(NotSeparate, match="revoke create on schema public from public"):
        await migrate(roles.owner, TRANSITIONS, service_url=roles.service)


async def test_migrating_as_somebody_who_does_not_own_the_tables_is_refused(roles: RoleUrls) -> None:
    await migrate(roles.superuser, TRANSITIONS)
    with pytest.raises(MayNotMigrate, match="DATABASE_OWNER_URL"):
        await migrate(roles.owner, TRANSITIONS, service_url=roles.service)
