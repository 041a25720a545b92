"""A job's state as a table: what it has, and nothing about what it has not."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.events import Created, RecordedEvent
from domain.job import evolve
from entrypoints.job_state import state_rows

_AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def _rows_of_a_job(*tags: str) -> dict[str, str]:
    created = Created(type="CSV_EXPORT", priority="high", attempt=1, used=0, max_attempts=3, tags=tags)
    event = RecordedEvent(1, "019bfe3a-ce60-74b9-a5cc-9beb58d0490c", 1, created, b"{}", "anonymous", _AT)
    return dict(state_rows(evolve(None, event)))


def test_a_table_has_no_row_for_what_a_job_has_not() -> None:
    assert not {"tags", "worker", "outcome", "result", "error", "dueAt"} & _rows_of_a_job().keys()


def test_tags_stand_beside_each_other() -> None:
    assert _rows_of_a_job("invoice", "march")["tags"] == "invoice march"
