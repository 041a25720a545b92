"""The random histories are good ones, and the judge of logs sees what is bad: each is proven by the other."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from msgspec.structs import replace

from domain.events import (
    EVENT_TYPES,
    Attempted,
    Cancelled,
    Created,
    Event,
    Failed,
    Queued,
    RecordedEvent,
    Started,
    type_name,
)
from domain.job import TRANSITIONS, fold
from tests.properties.effort import effort
from tests.properties.histories import ASKED_WAITS, LIVENESS, POLICY, History, histories, seeded_history
from tests.properties.judging import breaches


def judge(log: list[RecordedEvent]) -> list[str]:
    return breaches(log, policy=POLICY, asked_waits=[w for w in ASKED_WAITS if w is not None], liveness=LIVENESS)


@given(histories())
@effort(quick=100, long=5_000)
def test_a_random_history_breaks_no_invariant(history: History) -> None:
    assert judge(history.recorded) == []
    for job_id in history.job_ids():
        assert fold(history.of_job(job_id)) is not None


def test_a_large_history_breaks_no_invariant_and_holds_every_legal_pair() -> None:
    history = seeded_history(1, jobs=150, commands=2_500)
    assert judge(history.recorded) == []
    pairs = set()
    for job_id in history.job_ids():
        types = ["", *(type_name(e.event) for e in history.of_job(job_id))]
        pairs |= set(pairwise(types))
    assert pairs == TRANSITIONS


def test_a_large_history_holds_lost_attempts_of_jobs_that_were_to_be_cancelled_also_erased_and_retried() -> None:
    history = seeded_history(1, jobs=150, commands=2_500)
    lost = [e for e in history.recorded if isinstance(e.event, Cancelled) and e.event.outcome == "lost"]
    assert {e.content is None for e in lost} == {False, True}
    assert {e.actor == "dispatcher" for e in lost} == {False, True}
    after = [e.event for one in lost for e in history.of_job(one.job_id) if e.version == one.version + 1]
    assert len(after) > 1
    assert all(isinstance(event, Queued) and event.isolated for event in after)


def test_a_seed_always_makes_the_same_history() -> None:
    assert seeded_history(7, jobs=20, commands=200) == seeded_history(7, jobs=20, commands=200)


def _changed(log: list[RecordedEvent], index: int, **changes: object) -> list[RecordedEvent]:
    event = replace(log[index].event, **changes)
    return [*log[:index], replace(log[index], event=event), *log[index + 1 :]]


@pytest.mark.parametrize(
    ("invariant", "wanted", "changes"),
    [
        ("A1", Started, {"attempt": 7}),
        ("A1", Queued, {"attempt": 7}),
        ("A2", Attempted, {"worker": "somebody else"}),
        ("A2", Attempted, {"attempt": 9}),
        ("A2", Cancelled, {"outcome": "lost"}),
        ("A3", Attempted, {"used": 0, "outcome": "error"}),
        ("A3", Created, {"max_attempts": 0}),
        ("A4", Created, {"delay": 1e8}),
        ("A4", Attempted, {"retry_after": 1e8}),
        ("A5", Created, {"max_attempts": 50}),
        ("A7", Attempted, {"retry_after": 0.7}),
    ],
)
def test_an_event_that_lies_about_an_attempt_is_seen(
    invariant: str, wanted: type[Event], changes: dict[str, object]
) -> None:
    seen = set()
    log = seeded_history(2, jobs=40, commands=600).recorded
    for index, recorded in enumerate(log):
        if isinstance(recorded.event, wanted):
            seen |= {breach[:2] for breach in judge(_changed(log, index, **changes))}
            if invariant in seen:
                return
    pytest.fail(f"{invariant} was never reported: {seen}")


@pytest.mark.parametrize("closed_by", [Attempted, Failed, Cancelled])
def test_a_worker_given_up_too_early_is_seen(closed_by: type[Event]) -> None:
    log = seeded_history(3, jobs=150, commands=2_500).recorded
    lost = next(
        i
        for i, e in enumerate(log)
        if isinstance(e.event, closed_by) and e.actor == "dispatcher" and getattr(e.event, "outcome", "") == "lost"
    )
    started = next(e for e in reversed(log[:lost]) if isinstance(e.event, Started) and e.job_id == log[lost].job_id)
    hasty = replace(log[lost], recorded_at=started.recorded_at + LIVENESS - timedelta(milliseconds=1))
    assert any(breach.startswith("A8") for breach in judge([*log[:lost], hasty]))


def test_an_event_too_many_too_few_or_in_the_wrong_place_is_seen() -> None:
    log = seeded_history(4, jobs=5, commands=40).recorded
    for index in range(len(log) - 1):
        assert any(b.startswith("P1") for b in judge(log[:index] + log[index + 1 :]))
        assert any(b.startswith("P1") for b in judge([*log[: index + 1], *log[index:]]))
        renumbered = [replace(e, position=i) for i, e in enumerate(log[: index + 1] + log[index:], start=1)]
        assert any(b.startswith("S1") for b in judge(renumbered))
    earlier = log[-1].recorded_at - timedelta(days=400)
    assert any(b.startswith("P2") for b in judge([*log[:-1], replace(log[-1], recorded_at=earlier)]))


@pytest.mark.parametrize("before", sorted(EVENT_TYPES))
def test_a_pair_that_the_design_does_not_draw_is_seen(before: str) -> None:
    """The judge's own table, written from the design, is the domain's table."""
    log = seeded_history(5, jobs=60, commands=900)
    samples = {type_name(e.event): e for e in log.recorded}
    for after, sample in samples.items():
        stream = [replace(samples[before], job_id="x", version=1), replace(sample, job_id="x", version=2)]
        seen = {b[:2] for b in judge(stream)} & {"S3", "S4", "A6"}
        assert bool(seen) != ((before, after) in TRANSITIONS), (before, after, seen)
