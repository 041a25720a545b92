"""What the database itself refuses, whoever asks: illegal transitions, and any change of what was written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import uuid_utils
from psycopg import sql

from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Append, Appended, Conflict
from domain.events import (
    EVENT_TYPES,
    Attempted,
    Cancelled,
    CancelRequested,
    Completed,
    Created,
    Event,
    Failed,
    NewEvent,
    Queued,
    Started,
)
from domain.job import TRANSITIONS
from tests.properties.histories import seeded_history
from tests.real_log import Database, connected, head, insert_history, read_log, register_workers

SAMPLES: dict[str, Event] = {
    "Created": Created(type="T", priority="default", attempt=1, used=0, max_attempts=3),
    "Queued": Queued(type="T", priority="default", attempt=2, used=1, max_attempts=3),
    "Started": Started(attempt=1, worker="w1"),
    "Attempted": Attempted(attempt=1, worker="w1", outcome="error", retry_after=1.0, used=1),
    "Completed": Completed(attempt=1, worker="w1"),
    "Failed": Failed(attempt=1, worker="w1", outcome="error", permanent=True),
    "CancelRequested": CancelRequested(),
    "Cancelled": Cancelled(),
}
WAYS: dict[str, tuple[str, ...]] = {
    "": (),
    "Created": ("Created",),
    "Queued": ("Created", "Queued"),
    "Started": ("Created", "Started"),
    "Attempted": ("Created", "Started", "Attempted"),
    "Completed": ("Created", "Started", "Completed"),
    "Failed": ("Created", "Started", "Failed"),
    "CancelRequested": ("Created", "Started", "CancelRequested"),
    "Cancelled": ("Created", "Cancelled"),
}
PAIRS = [(before, after) for before in WAYS for after in EVENT_TYPES]


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        register_workers(db, ["w1"])
        yield db


@pytest.fixture
async def log(postgres_url: str, db: Database) -> AsyncIterator[PostgresEventLog]:
    async with PostgresEventLog(postgres_url, application="rules", patience=20.0) as log:
        yield log


def command(job_id: str, expected: int, *types: str) -> Append:
    return Append(job_id, expected, [NewEvent(SAMPLES[name]) for name in types], "w1")


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "within one command"])
async def test_the_database_takes_the_pairs_of_the_table_and_no_other(
    db: Database, log: PostgresEventLog, *, at_once: bool
) -> None:
    """All 72 pairs in one batch, so that neighbours are also seen not to touch each other."""
    jobs = {pair: str(uuid_utils.uuid7()) for pair in PAIRS}
    ways = {pair: WAYS[pair[0]] for pair in PAIRS}
    if at_once:
        answers = await log.append([command(jobs[p], 0, *ways[p], p[1]) for p in PAIRS])
    else:
        begun = await log.append([command(jobs[p], 0, *ways[p]) for p in PAIRS if ways[p]])
        assert {type(answer) for answer in begun} == {Appended}
        answers = await log.append([command(jobs[p], len(ways[p]), p[1]) for p in PAIRS])

    for pair, answer in zip(PAIRS, answers, strict=True):
        if pair in TRANSITIONS:
            assert isinstance(answer, Appended), pair
        elif at_once:
            assert answer == Conflict(found_type=None, last_version=0, last_type=None), pair
        else:
            last = pair[0] or None
            assert answer == Conflict(found_type=None, last_version=len(ways[pair]), last_type=last), pair
    written: dict[str, tuple[str, ...]] = {}
    for event in read_log(db):
        written[event.job_id] = (*written.get(event.job_id, ()), type(event.event).__name__)
    for pair in PAIRS:
        begun_with = () if at_once and pair not in TRANSITIONS else ways[pair]
        assert written.get(jobs[pair], ()) == begun_with + ((pair[1],) if pair in TRANSITIONS else ()), pair


async def test_a_type_that_nobody_knows_is_a_conflict(db: Database) -> None:
    rows = db.execute(
        "select outcome from append_events(array[0], array[gen_random_uuid()], array[1], array['Paused'], array['{}'],"
        " array[null]::text[], array['x'], '{}', '{}')"
    ).fetchall()
    assert rows == [("conflict",)]
    assert head(db) == 0


# For each column another value than it has.
CHANGES = {
    "position": "position + 1000",
    "job_id": "gen_random_uuid()",
    "version": "version + 1000",
    "type": "'Completed' || type",
    "data": "'{}'",
    "content": "'\"changed\"'",
    "actor": "actor || '!'",
    "recorded_at": "recorded_at + interval '1 millisecond'",
}


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
def test_nothing_changes_deletes_or_empties_the_log(db: Database, role: str) -> None:
    """Tried as a superuser, also where session_replication_role switches ordinary triggers off."""
    insert_history(db, seeded_history(1, jobs=3, commands=20).recorded)
    before = read_log(db)
    db.execute(sql.SQL("set session_replication_role = {}").format(role))
    columns = db.execute("select column_name from information_schema.columns where table_name = 'events'").fetchall()
    assert {name for (name,) in columns} == set(CHANGES)
    attempts = [
        *(f"update events set {column} = {value}" for column, value in CHANGES.items()),
        *(
            f"update events set content = null, {column} = {value}"
            for column, value in CHANGES.items()
            if column != "content"
        ),
        "update events set data = (data::text || ' ')::json",  # json keeps bytes: not even a space
        "delete from events",
        "delete from events where position = 1",
        "truncate events",
        "truncate events, jobs cascade",
        "merge into events e using (select 1) x on true when matched then delete",
        "insert into events select * from events on conflict (job_id, version) do update set actor = 'x'",
    ]
    for attempt in attempts:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="immutable"):
            db.execute(attempt)
        assert read_log(db) == before, attempt


def test_what_is_personal_can_be_erased_and_never_comes_back(db: Database) -> None:
    insert_history(db, seeded_history(1, jobs=3, commands=20).recorded)
    before = read_log(db)
    erased = db.execute("update events set content = null where content is not null").rowcount
    assert erased == len([e for e in before if e.content is not None])
    after = read_log(db)
    assert [e.content for e in after] == [None] * len(before)
    assert [(e.position, e.job_id, e.version, e.event, e.actor, e.recorded_at) for e in after] == [
        (e.position, e.job_id, e.version, e.event, e.actor, e.recorded_at) for e in before
    ]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        db.execute("update events set content = '1'")


def test_a_position_or_version_cannot_be_there_twice(db: Database) -> None:
    insert_history(db, seeded_history(1, jobs=3, commands=20).recorded)
    for changed in ("position + 1000, job_id, version", "position, gen_random_uuid(), version"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(f"insert into events select {changed}, type, data, content, actor, recorded_at from events")
