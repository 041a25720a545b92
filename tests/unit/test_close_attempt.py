"""How an attempt is closed: what is decided, and what happens when the log has moved on meanwhile."""

from __future__ import annotations

import pytest

from commands.attempt import Errored, Outcome, Stopped, Succeeded
from commands.close_attempt import Ended, StopReason, close_attempts
from commands.close_lost import close_lost, close_stray
from commands.ports import Append, Appended
from domain.events import Attempted, Cancelled, CancelRequested, Completed, NewEvent, Queued, Started, type_name
from domain.job import Job, create, fold, retry, wake
from domain.retry import RetryPolicy
from tests.fakes.event_log import FakeEventLog

POLICY = RetryPolicy(base=1.0, cap=60.0)
JOB_ID = "01a20bef-cdb2-70b4-b227-60191d72d90a"


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


async def running(log: FakeEventLog, *, max_attempts: int = 3) -> Job:
    created = create(type="T", priority="default", payload=b"1", max_attempts=max_attempts)
    await append(log, 0, *created)
    await append(log, 1, NewEvent(Started(attempt=1, worker="w1")), actor="w1")
    job = await log.find(JOB_ID)
    assert job is not None
    return job


async def append(log: FakeEventLog, expected: int, *events: NewEvent, actor: str = "somebody") -> None:
    [answer] = await log.append([Append(JOB_ID, expected, events, actor)])
    assert isinstance(answer, Appended), answer


async def close(log: FakeEventLog, job: Job, outcome: Outcome, stopped_for: StopReason | None = None) -> bool:
    ended = Ended(job, outcome, stopped_for, 5.0)
    while True:
        [answer] = await close_attempts([ended], policy=POLICY, actor="w1", log=log)
        if not isinstance(answer, Ended):
            return answer > 0
        ended = answer


def types(log: FakeEventLog) -> list[str]:
    return [type_name(recorded.event) for recorded in log.events]


@pytest.mark.parametrize(
    ("outcome", "stopped_for", "closing", "error"),
    [
        (Succeeded(b'{"a":1}'), None, ["Completed"], None),
        (Succeeded(b"1"), "timeout", ["Completed"], None),
        (Errored(b'"boom"'), None, ["Attempted"], b'"boom"'),
        (Errored(b'"boom"', permanent=True), None, ["Failed"], b'"boom"'),
        (Stopped(b'"Cancelled"'), "timeout", ["Attempted"], b'"timed out after 5 s"'),
        (Errored(b'"in doubt"'), "timeout", ["Attempted"], b'"timed out after 5 s; in doubt"'),
        (Errored(b'"in doubt"', permanent=True), "timeout", ["Failed"], b'"timed out after 5 s; in doubt"'),
        (Stopped(b'"Cancelled"'), "released", ["Attempted", "Queued"], None),
        (Errored(b'"boom"'), "released", ["Attempted"], b'"boom"'),
    ],
)
async def test_each_end_has_its_closing(
    log: FakeEventLog, outcome: Outcome, stopped_for: StopReason | None, closing: list[str], error: bytes | None
) -> None:
    job = await running(log)
    assert await close(log, job, outcome, stopped_for)
    assert types(log)[2:] == closing
    after = fold(log.events)
    assert after is not None
    assert after.error == error


async def test_code_that_took_its_process_along_stays_in_one_of_its_own(log: FakeEventLog) -> None:
    await close(log, await running(log), Errored(b'"SIGSEGV"', died=True))
    attempted = log.events[-1].event
    assert isinstance(attempted, Attempted)
    assert (attempted.outcome, attempted.retry_after, attempted.used) == ("lost", 1.0, 1)
    job = fold(log.events)
    assert job is not None
    [woken] = wake(job)
    assert isinstance(woken.event, Queued)
    assert woken.event.isolated


async def test_the_last_attempt_fails_for_good(log: FakeEventLog) -> None:
    job = await running(log, max_attempts=1)
    assert await close(log, job, Errored(b'"boom"'))
    assert types(log)[-1] == "Failed"


async def test_a_wait_that_the_code_asked_for_is_kept(log: FakeEventLog) -> None:
    job = await running(log)
    await close(log, job, Errored(b'"later"', retry_after=12.5))
    after = fold(log.events)
    assert after is not None
    assert after.due_at is not None
    assert (after.due_at - after.updated_at).total_seconds() == 12.5


@pytest.mark.parametrize(
    ("outcome", "closing"),
    [
        (Succeeded(b"1"), NewEvent(Completed(1, "w1"), b"1")),
        (Errored(b'"boom"'), NewEvent(Cancelled(1, "w1"))),
        (Errored(b'"SIGSEGV"', died=True), NewEvent(Cancelled(1, "w1", "lost"), b'"SIGSEGV"')),
        (Stopped(b'"x"'), NewEvent(Cancelled(1, "w1"))),
    ],
)
async def test_a_closing_that_meets_a_cancel_request_follows_it(
    log: FakeEventLog, outcome: Outcome, closing: NewEvent
) -> None:
    job = await running(log)
    await append(log, 2, NewEvent(CancelRequested()))
    assert await close(log, job, outcome, "released" if isinstance(outcome, Stopped) else None)
    assert types(log)[2:-1] == ["CancelRequested"]
    assert NewEvent(log.events[-1].event, log.events[-1].content) == closing


async def test_a_job_to_be_cancelled_whose_worker_died_is_cancelled_and_says_that_it_was_lost(
    log: FakeEventLog,
) -> None:
    await running(log)
    await append(log, 2, NewEvent(CancelRequested()))
    job = await log.find(JOB_ID)
    assert job is not None
    assert await close_lost([job], actor="d1", log=log, policy=POLICY) == [job]
    assert log.events[-1].event == Cancelled(1, "w1", "lost")
    after = fold(log.events)
    assert after is not None
    assert (after.status, after.outcome) == ("cancelled", "lost")
    [queued] = retry(after)
    assert isinstance(queued.event, Queued)
    assert queued.event.isolated


async def test_an_attempt_that_was_given_up_is_not_closed_again(log: FakeEventLog) -> None:
    job = await running(log)
    assert await close_lost([job], actor="d1", log=log, policy=POLICY) == [job]
    assert not await close(log, job, Succeeded(b"1"))
    assert types(log)[2:] == ["Attempted"]


async def test_a_result_that_cannot_be_stored_fails_the_job_for_good(log: FakeEventLog) -> None:
    job = await running(log)
    assert await close(log, job, Succeeded(b'"\x00"'))
    after = fold(log.events)
    assert after is not None
    assert after.status == "failed"
    assert after.error is not None
    assert b"cannot be stored" in after.error


async def test_nothing_lost_is_nothing_appended(log: FakeEventLog) -> None:
    assert await close_lost([], actor="d1", log=log, policy=POLICY) == []


async def test_a_stray_is_closed_only_if_the_log_says_that_it_is_ours(log: FakeEventLog) -> None:
    await running(log)
    assert not await close_stray(JOB_ID, worker="w2", log=log, jobs=log, policy=POLICY)
    assert await close_stray(JOB_ID, worker="w1", log=log, jobs=log, policy=POLICY)
    assert not await close_stray(JOB_ID, worker="w1", log=log, jobs=log, policy=POLICY)
    after = fold(log.events)
    assert after is not None
    assert after.outcome == "lost"
