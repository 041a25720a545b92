"""A real log for tests: filled with a history, by the front door or as it stands, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import uuid_utils
from msgspec.structs import replace

from adapters.postgres.job_rows import event_of_row, job_of_row
from commands.ports import Append, Appended, EventLog
from domain.events import RecordedEvent, Started, encode_data, type_name
from domain.job import Job
from tests.properties.histories import History

Database = psycopg.Connection[tuple[Any, ...]]

_JOB_COLUMNS = (
    "version, state, type, priority, attempts, used, max_attempts, created_at, updated_at, worker, outcome,"
    " result::text, error::text, due_at, queued_position, tags"
)


def connected(url: str) -> Database:
    """An autocommit connection of a superuser, to look and to do harm with. Times come in UTC."""
    return psycopg.connect(url, autocommit=True, options="-c TimeZone=UTC")


def register_workers(db: Database, names: Iterable[str]) -> None:
    """Give rows to workers, without which they may start nothing."""
    db.execute("insert into workers (id) select unnest(%s::text[]) on conflict do nothing", [list(names)])


def workers_of(history: History) -> set[str]:
    return {e.event.worker for e in history.recorded if isinstance(e.event, Started)}


def with_new_ids(history: History) -> History:
    """The same history for other jobs, so that one log can hold it many times."""
    ids = {job_id: str(uuid_utils.uuid7()) for job_id in history.job_ids()}
    return History(
        [replace(append, job_id=ids[append.job_id]) for append in history.appends],
        [replace(event, job_id=ids[event.job_id]) for event in history.recorded],
    )


async def append_history(log: EventLog, appends: Sequence[Append], *, batch: int = 50) -> None:
    """Append in order, in batches of at most so many commands, in none of which a job comes twice."""
    waiting: list[Append] = []
    seen: set[str] = set()
    for append in appends:
        if append.job_id in seen or len(waiting) == batch:
            await _append_all(log, waiting)
            waiting, seen = [], set()
        waiting.append(append)
        seen.add(append.job_id)
    await _append_all(log, waiting)


async def _append_all(log: EventLog, appends: list[Append]) -> None:
    for append, answer in zip(appends, await log.append(appends), strict=True):
        assert isinstance(answer, Appended), (append, answer)


def insert_history(db: Database, recorded: Iterable[RecordedEvent]) -> None:
    """Write a history as it stands, with its own positions and times: not through append_events."""
    with (
        db.cursor() as cursor,
        cursor.copy(
            "copy events (position, job_id, version, type, data, content, actor, recorded_at) from stdin"
        ) as copy,
    ):
        for e in recorded:
            content = None if e.content is None else e.content.decode()
            data = encode_data(e.event).decode()
            copy.write_row((e.position, e.job_id, e.version, type_name(e.event), data, content, e.actor, e.recorded_at))


def read_log(db: Database, *, after: int = 0) -> list[RecordedEvent]:
    """The events beyond a position, in order."""
    rows = db.execute(
        "select job_id::text, position, version, type, data::text, content::text, actor, recorded_at"
        " from events where position > %s order by position",
        [after],
    ).fetchall()
    return [event_of_row(job_id, tuple(row)) for job_id, *row in rows]


def read_jobs(db: Database, job_ids: Sequence[str] | None = None) -> dict[str, Job]:
    """The rows of `jobs` as the domain's Job, in every column; `status`, which is made of them, is compared here."""
    where = "" if job_ids is None else "where id = any (%s::uuid[])"
    rows = db.execute(
        f"select id::text, status, {_JOB_COLUMNS} from jobs {where}",
        None if job_ids is None else [list(job_ids)],
    ).fetchall()
    jobs = {}
    for job_id, status, *row in rows:
        jobs[job_id] = job_of_row(job_id, tuple(row))
        assert jobs[job_id].status == status
    return jobs


def checkpoint(db: Database) -> int:
    """How far `jobs` has read the log."""
    [[position]] = db.execute("select position from checkpoints where name = 'jobs'").fetchall()
    return int(position)


def head(db: Database) -> int:
    """The newest position; 0 for an empty log."""
    [[position]] = db.execute("select coalesce(max(position), 0) from events").fetchall()
    return int(position)
