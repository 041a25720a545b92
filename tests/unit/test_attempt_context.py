"""The context that a handler gets."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

import jobledger
from commands.attempt import AttemptContext

CREATED_AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def test_it_is_what_authors_of_job_types_are_promised() -> None:
    context: jobledger.Context = AttemptContext("j1", 2, CREATED_AT)

    assert (context.job_id, context.attempt, context.created_at, context.should_stop) == ("j1", 2, CREATED_AT, False)


def test_its_log_lines_carry_the_ids_beside_the_fields_of_the_author(caplog: pytest.LogCaptureFixture) -> None:
    context = AttemptContext("j1", 2, CREATED_AT, position=7, trace_id="4bf9")

    with caplog.at_level(logging.INFO, logger="jobledger.job"):
        context.log.info("sent", extra={"to": "a@example.com"})

    fields = vars(caplog.records[0])
    assert (fields["job_id"], fields["attempt"], fields["to"]) == ("j1", 2, "a@example.com")
    assert (fields["position"], fields["trace_id"]) == (7, "4bf9")


def test_only_the_newest_progress_is_kept() -> None:
    context = AttemptContext("j1", 1, CREATED_AT)
    assert context.latest_progress is None

    context.progress(0.5, "half")
    context.progress(1)

    assert context.latest_progress == (1.0, "")


def test_what_is_no_progress_is_an_error_and_changes_nothing() -> None:
    context = AttemptContext("j1", 1, CREATED_AT)
    context.progress(0.5, "half")

    with pytest.raises(ValueError, match="progress is a fraction from 0 to 1, not 40"):
        context.progress(40)

    assert context.latest_progress == (0.5, "half")


def test_it_can_be_told_to_stop() -> None:
    context = AttemptContext("j1", 1, CREATED_AT)

    context.stop()
    context.stop()

    assert context.should_stop
