"""How rows of `jobs` and `events` become the domain's Job and RecordedEvent: in one place, column by column."""

from __future__ import annotations

from typing import Any

from domain.errors import UnknownEventType
from domain.events import RecordedEvent, decode_data
from domain.job import Job


def job_of_row(job_id: str, row: tuple[Any, ...]) -> Job:
    """The Job of the first 16 columns of sql/queries/job.sql."""
    (
        version,
        state,
        type_,
        priority,
        attempts,
        used,
        max_attempts,
        created_at,
        updated_at,
        worker,
        outcome,
        result,
        error,
        due_at,
        queued_position,
        tags,
    ) = row
    return Job(
        id=job_id,
        version=version,
        state=state,
        type=type_,
        priority=priority,
        attempts=attempts,
        used=used,
        max_attempts=max_attempts,
        created_at=created_at,
        updated_at=updated_at,
        worker=worker,
        outcome=outcome,
        result=None if result is None else result.encode(),
        error=None if error is None else error.encode(),
        due_at=due_at,
        queued_position=queued_position,
        tags=() if tags is None else tuple(tags),
    )


def event_of_row(job_id: str, row: tuple[Any, ...]) -> RecordedEvent:
    """The event of (position, version, type, data, content, actor, recorded_at). Raises UnknownEventType, with position."""
    position, version, type_, data, content, actor, recorded_at = row
    try:
        event = decode_data(type_, data)
    except UnknownEventType as exc:
        raise UnknownEventType(type_, position) from exc
    return RecordedEvent(
        position, job_id, version, event, None if content is None else content.encode(), actor, recorded_at
    )
