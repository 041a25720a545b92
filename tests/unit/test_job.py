"""Single moments of a job's life that have a name. Whole lives: tests/properties/test_job_machine.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from domain import job as verbs
from domain.errors import IllegalTransition
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
    RecordedEvent,
    Started,
)
from domain.job import STATUS_AFTER, TRANSITIONS, Job, evolve, fold
from domain.retry import RetryPolicy

ID = "0190f5fe-7c00-7a00-8000-000000000001"
AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
POLICY = RetryPolicy()

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
# The shortest way into each state.
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
VERBS: dict[str, Callable[[Job], list[NewEvent]]] = {
    "wake": verbs.wake,
    "start": lambda job: verbs.start(job, worker="w1"),
    "complete": lambda job: verbs.complete(job, result=b"1"),
    "fail": lambda job: verbs.fail(job, outcome="error", error=b'"e"', policy=POLICY),
    "lose": lambda job: verbs.lose(job, policy=POLICY, error=b'"e"'),
    "release": verbs.release,
    "request_cancel": verbs.request_cancel,
    "cancel": verbs.cancel,
    "retry": verbs.retry,
}
# What each verb leaves behind, state by state; a state that is not named refuses it.
ALLOWED: dict[str, dict[str, tuple[str, ...]]] = {
    "wake": {"Attempted": ("Queued",)},  # and Created, when delayed: see below
    "start": {"Created": ("Started",), "Queued": ("Started",)},
    "complete": {"Started": ("Completed",), "CancelRequested": ("Completed",)},
    "fail": {"Started": ("Attempted",), "CancelRequested": ("Cancelled",)},
    "lose": {"Started": ("Attempted",), "CancelRequested": ("Cancelled",)},
    "release": {"Started": ("Attempted", "Queued"), "CancelRequested": ("Cancelled",)},
    "request_cancel": {
        "Created": ("Cancelled",),
        "Queued": ("Cancelled",),
        "Attempted": ("Cancelled",),
        "Started": ("CancelRequested",),  # and not again: the attempt still runs
    },
    "cancel": {
        "Created": ("Cancelled",),
        "Queued": ("Cancelled",),
        "Attempted": ("Cancelled",),
        "CancelRequested": ("Cancelled",),
    },
    "retry": {"Failed": ("Queued",), "Cancelled": ("Queued",)},
}


def recorded(version: int, event: Event, *, content: bytes | None = None, after: float = 0.0) -> RecordedEvent:
    return RecordedEvent(100 + version, ID, version, event, content, "somebody", AT + timedelta(seconds=after))


def job_after(*events: Event) -> Job:
    job = fold(recorded(version, event) for version, event in enumerate(events, start=1))
    assert job is not None
    return job


def job_in(state: str) -> Job:
    return job_after(*(SAMPLES[name] for name in WAYS[state]))


@pytest.mark.parametrize("before", sorted(WAYS))
@pytest.mark.parametrize("after", sorted(EVENT_TYPES))
def test_only_the_pairs_of_the_table_can_follow_each_other(before: str, after: str) -> None:
    job = job_in(before) if before else None
    event = recorded(9, SAMPLES[after])
    if (before, after) in TRANSITIONS:
        assert evolve(job, event).state == after
    else:
        with pytest.raises(IllegalTransition):
            evolve(job, event)


@pytest.mark.parametrize("state", sorted(EVENT_TYPES))
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_verb_does_in_each_state_what_is_written_here_or_refuses(verb: str, state: str) -> None:
    job = job_in(state)
    wanted = ALLOWED[verb].get(state)
    if wanted is None:
        with pytest.raises(IllegalTransition) as refused:
            VERBS[verb](job)
        assert (refused.value.job_id, refused.value.state) == (ID, state)
        return
    events = VERBS[verb](job)
    assert tuple(type(new.event).__name__ for new in events) == wanted
    for version, new in enumerate(events, start=job.version + 1):
        job = evolve(job, recorded(version, new.event, content=new.content))


def test_every_type_of_event_has_a_status_and_a_place_in_the_table() -> None:
    assert set(STATUS_AFTER) == set(EVENT_TYPES)
    assert {after for _, after in TRANSITIONS} == set(EVENT_TYPES)


def test_nothing_follows_a_completed_job() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] == "Completed"]


def test_a_delayed_job_is_woken_and_not_started() -> None:
    job = job_after(Created(type="T", priority="high", attempt=1, used=0, max_attempts=3, delay=1.5))
    assert job.due_at == AT + timedelta(seconds=1.5)
    assert job.queued_position is None
    with pytest.raises(IllegalTransition):
        verbs.start(job, worker="w1")
    [woken] = verbs.wake(job)
    assert woken.event == Queued(type="T", priority="high", attempt=1, used=0, max_attempts=3)


def test_a_job_with_a_moment_of_its_own_is_due_then() -> None:
    moment = AT + timedelta(days=1, microseconds=1)
    job = job_after(Created(type="T", priority="high", attempt=1, used=0, max_attempts=3, run_at=moment))
    assert job.due_at == moment


def test_a_delay_is_kept_in_whole_milliseconds() -> None:
    """Below them, two folds may round one wait to two different moments."""
    [created] = verbs.create(type="T", priority="high", payload=b"1", max_attempts=3, delay=1_000_000.0000005)
    assert isinstance(created.event, Created)
    assert created.event.delay == 1_000_000.0


def test_waits_double_up_to_the_maximum_of_attempts() -> None:
    job = job_after(Created(type="T", priority="default", attempt=1, used=0, max_attempts=4))
    waits = []
    for version in range(2, 14, 3):
        job = evolve(job, recorded(version, verbs.start(job, worker="w1")[0].event))
        [closing] = VERBS["fail"](job)
        job = evolve(job, recorded(version + 1, closing.event, content=closing.content))
        if isinstance(closing.event, Attempted):
            waits.append(closing.event.retry_after)
            job = evolve(job, recorded(version + 2, verbs.wake(job)[0].event))
    assert waits == [1.0, 2.0, 4.0]
    assert (job.attempts, job.status, job.error) == (4, "failed", b'"e"')


def test_a_released_attempt_does_not_count_and_keeps_the_last_error() -> None:
    before = job_after(SAMPLES["Created"], SAMPLES["Started"], SAMPLES["Attempted"], SAMPLES["Queued"])
    job = evolve(before, recorded(5, Started(attempt=2, worker="w2")))
    [attempted, queued] = verbs.release(job)
    assert attempted.event == Attempted(attempt=2, worker="w2", outcome="released", retry_after=0.0, used=1)
    assert queued.event == Queued(type="T", priority="default", attempt=3, used=1, max_attempts=3)
    after = fold([recorded(6, attempted.event), recorded(7, queued.event)], job)
    assert after is not None
    assert (after.attempts, after.used, after.outcome, after.error) == (2, 1, before.outcome, before.error)


def test_an_attempt_after_a_lost_one_is_isolated_until_one_ends_otherwise() -> None:
    job = job_in("Started")
    [lost] = verbs.lose(job, policy=POLICY, error=b'"gone"')
    job = evolve(job, recorded(3, lost.event, content=lost.content))
    [woken] = verbs.wake(job)
    assert isinstance(woken.event, Queued)
    assert woken.event.isolated
    job = evolve(evolve(job, recorded(4, woken.event)), recorded(5, Started(attempt=2, worker="w2")))
    [_, released] = verbs.release(job)
    assert isinstance(released.event, Queued)
    assert released.event.isolated  # released: it has shown nothing
    [failed] = verbs.fail(job, outcome="error", error=b'"e"', policy=POLICY)
    job = evolve(job, recorded(6, failed.event))
    [woken] = verbs.wake(job)
    assert isinstance(woken.event, Queued)
    assert not woken.event.isolated


def test_created_and_the_newest_queued_make_the_job_that_a_worker_needs() -> None:
    """A claim hands over these two events alone: what runs must be what the whole history says."""
    history = [SAMPLES["Created"], SAMPLES["Started"], Attempted(1, "w1", "lost", 1.0, 1)]
    whole = job_after(*history, verbs.wake(job_after(*history))[0].event)
    queued = verbs.wake(job_after(*history))[0].event
    short = evolve(evolve(None, recorded(1, SAMPLES["Created"])), recorded(4, queued))
    assert (short.attempts, short.used, short.max_attempts, short.outcome, short.queued_position) == (
        whole.attempts,
        whole.used,
        whole.max_attempts,
        whole.outcome,
        whole.queued_position,
    )


def test_a_retry_by_hand_numbers_on_and_counts_anew() -> None:
    job = job_in("Failed")
    [queued] = verbs.retry(job, reason="fixed")
    assert queued.event == Queued(type="T", priority="default", attempt=2, used=0, max_attempts=3, reason="fixed")


def test_a_cancelled_job_may_fail_to_stop_in_time_and_is_completed() -> None:
    [completed] = verbs.complete(job_in("CancelRequested"), result=b"1")
    assert completed.event == Completed(attempt=1, worker="w1")


@pytest.mark.parametrize("close", ["fail", "lose", "release", "cancel"])
def test_after_a_cancel_request_however_the_attempt_ends_the_job_is_cancelled(close: str) -> None:
    [cancelled] = VERBS[close](job_in("CancelRequested"))
    assert cancelled == (
        NewEvent(Cancelled(attempt=1, worker="w1", outcome="lost"), b'"e"')
        if close == "lose"
        else NewEvent(Cancelled(attempt=1, worker="w1"))
    )


@pytest.mark.parametrize("erased", [False, True])
def test_a_cancelled_job_whose_attempt_was_lost_keeps_that_and_is_retried_in_a_process_of_its_own(erased: bool) -> None:
    job = job_in("CancelRequested")
    [cancelled] = verbs.lose(job, policy=POLICY, error=b'"gone"')
    job = evolve(job, recorded(4, cancelled.event, content=None if erased else cancelled.content))
    assert (job.status, job.worker, job.outcome, job.error) == (
        "cancelled",
        None,
        "lost",
        None if erased else b'"gone"',
    )
    [queued] = verbs.retry(job)
    assert queued.event == Queued(type="T", priority="default", attempt=2, used=0, max_attempts=3, isolated=True)


def test_a_cancelled_without_an_outcome_leaves_what_earlier_attempts_left() -> None:
    job = evolve(job_in("Started"), recorded(3, SAMPLES["Attempted"], content=b'"e"'))
    after = evolve(job, recorded(4, Cancelled(), content=b'"no error of an attempt"'))
    assert (after.outcome, after.error) == ("error", b'"e"')
    [queued] = verbs.retry(after)
    assert isinstance(queued.event, Queued)
    assert not queued.event.isolated


def test_a_permanent_error_fails_at_once() -> None:
    [failed] = verbs.fail(job_in("Started"), outcome="error", error=b'"no"', policy=POLICY, permanent=True)
    assert failed == NewEvent(Failed(attempt=1, worker="w1", outcome="error", permanent=True), b'"no"')


def test_a_wait_that_was_asked_for_is_kept_in_whole_milliseconds() -> None:
    [attempted] = verbs.fail(job_in("Started"), outcome="error", error=b'"e"', policy=POLICY, retry_after=0.1234567)
    assert isinstance(attempted.event, Attempted)
    assert attempted.event.retry_after == 0.123
