"""`jobs` is made anew from the log: what differs is named and mended, everything else is as it was, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import adapters.postgres.rebuilding
from adapters.embedded.postgres import PostgresServer
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.migrate import Migration, SchemaMismatch, known_migrations, migrate
from adapters.postgres.range_folder import PostgresRangeFolder
from adapters.postgres.rebuilding import PostgresNewTable
from domain.errors import LogDamaged, UnknownEventType
from domain.job import TRANSITIONS
from projections.rebuild.ports import CannotRebuild, RebuildRunning, TablesBusy
from projections.rebuild.rebuilding import Stage
from projections.runner import Runner
from projections.verify.read_table import sentence_of
from tests.conftest import migrated_database
from tests.good_logs import append_for_real, many_histories, project_all, side_by_side
from tests.real_log import Database, connected, head
from tests.rebuilding import bytes_of, leftovers, rebuilt, shape_of
from tests.until import until
from tests.verifying import broken, verified

# A value that the column does not have, whatever it has; written over it by one who may do anything.
_DAMAGES = {
    "version": "version + 1",
    "state": "case state when 'Queued' then 'Created' else 'Queued' end",
    "type": "type || 'x'",
    "priority": "'low'",
    "attempts": "attempts + 1",
    "used": "used + 1",
    "max_attempts": "max_attempts + 1",
    "created_at": "created_at - interval '1 microsecond'",
    "updated_at": "updated_at + interval '1 microsecond'",
    "worker": "coalesce(worker, '') || 'x'",
    "outcome": "case when outcome is null then 'error' end",
    "result": "case when result is null then 'null'::json else (result::text || ' ')::json end",
    "error": "case when error is null then 'null'::json end",
    "due_at": "coalesce(due_at, '2026-01-01') + interval '1 microsecond'",
    "queued_position": "coalesce(queued_position, 0) + 1",
    "tags": "array_append(tags, 'x')",
}


@pytest.fixture(scope="module")
async def good_log(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """The name of a database with a log of all kinds of histories, which nobody else uses."""
    with migrated_database(postgres_server, migrated_template) as url:
        await append_for_real(url, side_by_side(many_histories(30)))
        yield url


@pytest.fixture
def url(postgres_server: PostgresServer, good_log: str) -> Iterator[str]:
    """A copy of it for one test."""
    with migrated_database(postgres_server, good_log.rsplit("/", 1)[1]) as url:
        yield url


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with connected(url) as db:
        yield db


async def test_the_rebuilt_table_has_the_bytes_of_the_live_one(url: str, db: Database) -> None:
    before, shape = bytes_of(db), shape_of(db)

    report = await rebuilt(url)

    assert (report.swapped, report.differences.found) == (True, False)
    assert bytes_of(db) == bytes_of(db, "jobs_old") == before
    assert len(before) > 10_000
    assert shape_of(db) == shape
    assert db.execute("select name, position from checkpoints where name = 'jobs'").fetchall() == [("jobs", head(db))]
    assert leftovers(db) == []
    assert broken(await verified(url)) == {}


async def test_damage_in_every_column_is_named_and_mended(url: str, db: Database) -> None:
    before = bytes_of(db)
    columns = {
        name
        for (name,) in db.execute(
            "select attname from pg_attribute where attrelid = 'jobs'::regclass and attnum > 0 and attname <> 'id'"
            " and attgenerated = ''"
        ).fetchall()
    }
    assert set(_DAMAGES) == columns, "every column must be damaged"
    ids = [job_id for (job_id,) in db.execute("select id::text from jobs order by id").fetchall()]
    damaged = dict(zip(ids[3:], _DAMAGES, strict=False))
    for job_id, column in damaged.items():
        db.execute(f"update jobs set {column} = {_DAMAGES[column]} where id = %s", [job_id])
    db.execute("delete from jobs where id = any (%s::uuid[])", [ids[:2]])
    invented = "00000000-0000-7000-8000-000000000000"
    db.execute("update jobs set id = %s where id = %s", [invented, ids[2]])
    harmed = bytes_of(db)

    report = await rebuilt(url)

    found = report.differences
    assert {row.job_id: list(row.columns) for row in found.first if row.is_in_log and row.is_in_table} == {
        job_id: [column] for job_id, column in damaged.items()
    }
    assert [row.job_id for row in found.first if not row.is_in_table] == ids[:3]
    assert [row.job_id for row in found.first if not row.is_in_log] == [invented]
    assert (found.rows, found.missing, found.invented) == (len(damaged) + 4, 3, 1)
    assert found.columns == dict.fromkeys(damaged.values(), 1)
    told = {
        row.columns[0]: sentence_of(row) for row in found.first if row.columns and row.is_in_log and row.is_in_table
    }
    assert told["priority"].startswith("priority is low, by the log ")
    assert told["result"] == "result is not the log's"
    assert not report.swapped
    assert bytes_of(db) == harmed
    assert leftovers(db) == []

    assert (await rebuilt(url, accept_differences=True)).swapped
    assert bytes_of(db) == before
    assert bytes_of(db, "jobs_old") == harmed


async def test_more_differences_than_are_shown_are_counted(url: str, db: Database) -> None:
    [[jobs]] = db.execute("select count(*) from jobs").fetchall()
    db.execute("update jobs set attempts = 1000, worker = 'nobody'")
    report = await rebuilt(url, compare_only=True)
    assert len(report.differences.first) == 20
    assert report.differences.rows == jobs
    assert report.differences.columns == {"attempts": jobs, "worker": jobs}
    assert not report.swapped


async def test_comparing_only_leaves_everything(url: str, db: Database) -> None:
    before, oid = bytes_of(db), db.execute("select 'jobs'::regclass::oid").fetchall()
    report = await rebuilt(url, compare_only=True)
    assert (report.swapped, report.differences.found) == (False, False)
    assert (bytes_of(db), db.execute("select 'jobs'::regclass::oid").fetchall()) == (before, oid)
    assert db.execute("select to_regclass('jobs_old')").fetchall() == [(None,)]
    assert leftovers(db) == []


async def test_the_old_table_is_kept_once_or_not_at_all(url: str, db: Database) -> None:
    count = "select count(*) from pg_class where relname like 'jobs%%' and relkind in ('r', 'i')"
    before = db.execute(count).fetchall()
    await rebuilt(url)
    [[first]] = db.execute("select 'jobs'::regclass::oid").fetchall()
    await rebuilt(url)
    assert db.execute("select 'jobs_old'::regclass::oid").fetchall() == [(first,)]
    await rebuilt(url, drop_old=True)
    assert db.execute("select to_regclass('jobs_old')").fetchall() == [(None,)]
    assert db.execute(count).fetchall() == before


async def test_an_empty_log_is_an_empty_table(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute(
            "insert into jobs (id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at)"
            " values (gen_random_uuid(), 1, 'Created', 'X', 'high', 0, 0, 3, now(), now())"
        )
        assert (await rebuilt(postgres_url)).differences.invented == 1
        assert (await rebuilt(postgres_url, accept_differences=True)).swapped
        assert db.execute("select count(*) from jobs").fetchall() == [(0,)]
        assert (await rebuilt(postgres_url, workers=5)).jobs == 0


@pytest.mark.parametrize(
    "harm", ["delete from checkpoints", "update checkpoints set position = position + 1 where name = 'jobs'"]
)
async def test_a_checkpoint_that_is_none_is_mended(url: str, db: Database, harm: str) -> None:
    before = bytes_of(db)
    db.execute(harm)
    report = await rebuilt(url)
    assert report.differences.checkpoint is not None
    assert (report.swapped, report.differences.rows) == (False, 0)
    assert (await rebuilt(url, accept_differences=True)).swapped
    assert db.execute("select name, position from checkpoints where name = 'jobs'").fetchall() == [("jobs", head(db))]
    assert bytes_of(db) == before


async def test_a_table_that_lags_is_replaced_where_it_stands(url: str, db: Database) -> None:
    """And what is projected afterwards goes into the new one."""
    before = bytes_of(db)
    db.execute("truncate jobs")
    db.execute("update checkpoints set position = 0")
    projection = PostgresJobsProjection(url, page=head(db) // 2)
    await projection.fold_page()
    half = bytes_of(db)
    report = await rebuilt(url)
    assert (report.swapped, report.position) == (True, head(db) // 2)
    assert bytes_of(db) == half
    # The same connection, with a statement that was prepared for the old table.
    runner = Runner(projection=projection)
    while await runner.step() == 0.0:
        pass
    await projection.aclose()
    assert bytes_of(db) == before
    assert bytes_of(db, "jobs_old") == half


async def test_all_that_belongs_to_the_table_comes_along(url: str, db: Database) -> None:
    db.execute("drop role if exists rebuild_reader, rebuild_owner")
    db.execute("create role rebuild_reader")
    db.execute("create role rebuild_owner")
    try:
        for statement in (
            "alter table jobs owner to rebuild_owner",
            "grant select on jobs to rebuild_reader with grant option",
            "grant select on jobs to public",
            "grant update (worker), select (id) on jobs to rebuild_reader",
            "revoke truncate on jobs from rebuild_owner",
            "alter default privileges grant delete on tables to rebuild_reader",
            "alter table jobs set (toast.autovacuum_vacuum_threshold = 77, autovacuum_enabled = false)",
            "alter table jobs alter column state set statistics 500",
            "alter table jobs add column note text not null default 'none' check (note <> '')",
            "alter table jobs alter column note set storage external",
            "alter table jobs replica identity full",
            "alter table jobs add constraint sane check (attempts >= 0) ",
            "comment on table jobs is 'What is asked for'",
            "comment on constraint sane on jobs is 'Sane'",
            'create unique index "A USING b" on jobs (type desc, lower(note), id) include (state) where attempts > 0',
            "create index jobs_by_note on jobs (note) with (fillfactor = 70)",
            "create index jobs_with_a_name_as_long_as_names_may_be_in_this_database_server on jobs using hash (worker)",
            "comment on index jobs_due is 'Due'",
            "create view waiting with (security_barrier = true) as select id, due_at as at from jobs where due_at is not null",
            "alter view waiting owner to rebuild_owner",
            "grant select on waiting to rebuild_reader",
            "create view of_views as select w.id, j.type from waiting w join jobs j using (id)",
        ):
            db.execute(statement.encode())
        shape = shape_of(db)
        before, views = bytes_of(db), db.execute("select * from of_views order by 1").fetchall()
        assert len(views) > 3

        await rebuilt(url)

        assert shape_of(db) == shape
        assert bytes_of(db) == before
        assert db.execute("select * from of_views order by 1").fetchall() == views
        toast = "select t.reloptions from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'jobs'::regclass"
        assert db.execute(toast).fetchall() == [(["autovacuum_vacuum_threshold=77"],)]
        await rebuilt(url, drop_old=True)
        assert shape_of(db) == shape
    finally:
        db.execute("drop owned by rebuild_reader, rebuild_owner cascade")
        db.execute("drop role rebuild_reader, rebuild_owner")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            "create trigger t after insert on jobs for each row execute function events_are_immutable()",
            "trigger t on table jobs",
        ),
        ("create materialized view counted as select count(*) from jobs", "materialized view counted"),
        ("create table notes (job_id uuid references jobs)", "constraint notes_job_id_fkey on table notes"),
        ("alter table jobs enable row level security", "row level security"),
        ("create statistics s on type, state from jobs", "statistics object s"),
        ("create rule silent as on delete to jobs do instead nothing", "rule silent on table jobs"),
        ("create function f(jobs) returns int language sql return 1", "function f(jobs)"),
        ("create publication p for table jobs", "publication p"),
        ("alter table jobs add unique (id, type)", "constraint jobs_id_type_key on table jobs"),
    ],
)
async def test_what_could_not_come_along_is_an_obstacle_that_is_named(
    url: str, db: Database, made: str, said: str
) -> None:
    db.execute(made.encode())
    with pytest.raises(CannotRebuild) as raised:
        await rebuilt(url)
    assert said in str(raised.value)
    assert leftovers(db) == []


async def test_a_gap_in_the_log_stops_it(url: str, db: Database) -> None:
    before = bytes_of(db)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("delete from events where position = 100")
    with pytest.raises(LogDamaged, match="verify"):
        await rebuilt(url)
    assert (bytes_of(db), leftovers(db)) == (before, [])


async def test_an_event_of_a_newer_release_stops_it_with_its_position(url: str, db: Database) -> None:
    before = bytes_of(db)
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("update events set type = 'Paused' where position = 100")
    with pytest.raises(UnknownEventType, match="'Paused' at position 100:"):
        await rebuilt(url)
    assert (bytes_of(db), leftovers(db)) == (before, [])


async def test_data_that_cannot_be_read_stops_it(url: str, db: Database) -> None:
    db.execute("alter table events disable trigger immutable_rows")
    db.execute("""update events set data = '{"attempt": "many", "worker": "w"}' where type = 'Started'""")
    with pytest.raises(CannotRebuild, match="verify"):
        await rebuilt(url)
    assert leftovers(db) == []


async def test_there_is_one_rebuild_at_a_time(url: str, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.postgres.rebuilding, "_LEFT_BEHIND", 0.1)
    with db.transaction():
        db.execute("select from checkpoints where name = 'jobs' for update")  # so that it does not come to its end
        with connected(url) as watching:
            first = asyncio.create_task(rebuilt(url))
            await until(lambda: "jobs_next" in leftovers(watching))
        with pytest.raises(RebuildRunning):
            await rebuilt(url)
    assert (await first).swapped


async def test_it_waits_for_the_last_statements_of_one_that_was_killed(url: str, db: Database) -> None:
    with connected(url) as left:
        left.execute("select pg_advisory_lock_shared(7310592054)")
        task = asyncio.create_task(rebuilt(url))
        await asyncio.sleep(0.2)
        waiting = "select count(*) from pg_stat_activity where application_name = 'jobledger rebuild' and wait_event = 'advisory'"
        assert db.execute(waiting).fetchall() == [(1,)]
    assert (await task).swapped


async def test_what_was_left_behind_is_no_hindrance_to_anybody(url: str, db: Database) -> None:
    """Not to reading and projecting, not to the next release's migration, not to the next rebuild."""
    before = bytes_of(db)
    db.execute("create table jobs_next (like jobs including all)")
    db.execute("create index jobs_due_next on jobs_next (due_at)")
    db.execute("insert into checkpoints values ('jobs_next', 12)")
    await project_all(url)
    assert broken(await verified(url)) == {}
    added = Migration(9999, "note", b"alter table jobs add column note text; create index jobs_note on jobs (note)")
    await migrate(url, TRANSITIONS, migrations=[*known_migrations(), added])
    db.execute("delete from schema_migrations where version = 9999")  # so that this release works with it
    assert (await rebuilt(url)).swapped
    assert leftovers(db) == []
    assert ("jobs_note",) in db.execute("select indexname from pg_indexes where tablename = 'jobs'").fetchall()
    db.execute("alter table jobs drop column note")
    assert bytes_of(db) == before


async def test_a_table_of_a_newer_release_is_left_to_that(url: str, db: Database) -> None:
    db.execute("insert into schema_migrations (version, name, checksum, serves) values (9999, 'note', '', 1)")
    with pytest.raises(SchemaMismatch, match="newer release"):
        await rebuilt(url)
    assert leftovers(db) == []


async def test_a_table_that_is_altered_meanwhile_is_not_replaced(url: str, db: Database) -> None:
    def alter(stage: Stage) -> None:
        if stage.name == "fold":
            db.execute("alter table jobs add column if not exists note text")

    with pytest.raises(CannotRebuild, match="are being altered"):
        await rebuilt(url, progress=alter)
    assert leftovers(db) == []

    async with PostgresNewTable(url) as table, PostgresRangeFolder(url) as folder:
        await table.make()
        for index in await table.indexes():
            await folder.make_index(index)
        await table.begin_following(0)
        while await table.approach(most=1_000):
            pass
        db.execute("alter table jobs alter column note set default 'x'")
        with pytest.raises(CannotRebuild, match="columns of jobs were changed"):
            await table.swap(drop_old=False)
        db.execute("alter table jobs alter column note drop default")
        db.execute("create index jobs_note on jobs (note)")
        with pytest.raises(CannotRebuild, match="jobs_note_next"):
            await table.swap(drop_old=False)
        db.execute("drop index jobs_note")
        await table.swap(drop_old=False)
    assert leftovers(db) == []


async def test_who_holds_the_table_is_named_when_it_cannot_be_had(url: str, db: Database) -> None:
    before = bytes_of(db)
    with connected(url) as reader, reader.transaction():
        reader.execute("set application_name = 'a long report'")
        reader.execute("select count(*) from jobs")
        await asyncio.sleep(1.1)
        with pytest.raises(TablesBusy, match=r"process \d+ \(a long report\) for \d s"):
            await rebuilt(url, patience=0.5)
    assert (bytes_of(db), leftovers(db)) == (before, [])


async def test_a_reader_that_goes_in_time_is_waited_for(url: str) -> None:
    with connected(url) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from jobs")
        task = asyncio.create_task(rebuilt(url))
        await asyncio.sleep(1.0)
        assert not task.done()
        reader.execute("commit")
        assert (await task).swapped
