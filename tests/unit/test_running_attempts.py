"""Which attempts do not end although they were told to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from commands.attempt import AttemptContext
from commands.running_attempts import Running, RunningAttempts
from domain.job import Job

NOW = datetime(2026, 1, 27, tzinfo=UTC)


def attempt(job_id: str, *, timeout: float) -> Running:
    job = Job(
        id=job_id,
        version=2,
        state="Started",
        type="T",
        priority="default",
        attempts=1,
        used=0,
        max_attempts=3,
        created_at=NOW,
        updated_at=NOW,
        worker="w",
    )
    return Running(job, AttemptContext(job_id, 1, NOW), timeout=timeout, now=0.0)


def test_what_goes_on_for_its_time_out_and_the_grace_after_it_was_told_to_stop_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = 1_000.0
    monkeypatch.setattr("commands.running_attempts.time.monotonic", lambda: time)
    attempts = RunningAttempts(slots=4)
    for running in (
        deaf := attempt("deaf", timeout=10.0),
        attempt("patient", timeout=100.0),
        attempt("works", timeout=1.0),
    ):
        attempts.add(running)
        running.begin()
    ended = attempt("ended", timeout=10.0)
    attempts.add(ended)
    ended.begin()
    attempts.tick(50.0)
    ended.code_ended()
    assert deaf.stopped_for == "timeout"

    assert attempts.that_do_not_end(5.0) == []
    time += 15.1
    assert attempts.that_do_not_end(5.0) == ["deaf", "works"]
    deaf.code_ended()
    assert attempts.that_do_not_end(5.0) == ["works"]
