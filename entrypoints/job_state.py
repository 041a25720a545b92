"""A job's state as the commands that look back print it: every column of its row in `jobs`."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from domain.job import Job
from domain.moment import timestamp
from entrypoints.table_text import harmless, shortened


class JobState(Struct, frozen=True, rename="camel"):
    """The job after its newest event up to some moment. Times are in UTC."""

    id: str
    version: int
    state: str
    status: str
    type: str
    priority: str
    attempts: int
    used: int
    max_attempts: int
    created_at: str
    updated_at: str
    worker: str | None
    outcome: str | None
    result: Raw
    error: Raw
    due_at: str | None
    queued_position: int | None
    tags: tuple[str, ...]


def job_state(job: Job) -> JobState:
    """The same with names and times as in the API."""
    return JobState(
        id=job.id,
        version=job.version,
        state=job.state,
        status=job.status,
        type=job.type,
        priority=job.priority,
        attempts=job.attempts,
        used=job.used,
        max_attempts=job.max_attempts,
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        worker=job.worker,
        outcome=job.outcome,
        result=raw(job.result),
        error=raw(job.error),
        due_at=None if job.due_at is None else timestamp(job.due_at),
        queued_position=job.queued_position,
        tags=job.tags,
    )


def state_rows(job: Job) -> list[tuple[str, str]]:
    """Name and value of each field that has one, for a table."""
    state = job_state(job)
    rows = []
    for field in msgspec.structs.fields(state):
        value = getattr(state, field.name)
        if isinstance(value, tuple):
            value = " ".join(value) or None
        text = shortened(bytes(value)) if isinstance(value, Raw) else harmless(str(value))
        if value is not None and text != "null":
            rows.append((field.encode_name, text))
    return rows


def raw(json: bytes | None) -> Raw:
    """A content for a line of JSON: line breaks, which may stand between its tokens, become blanks."""
    if json is None:
        return _NULL
    return Raw(json.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in json or b"\r" in json else json)


_NULL = Raw(b"null")
