"""Retrying many failed jobs, over fakes; and what "since" may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from commands import retry_failed as module
from commands.ports import Append
from commands.retry_failed import Retried, Wish, retry_failed
from domain.events import Created, Event, Failed, NewEvent, Queued, Started
from domain.reason import InvalidReason
from entrypoints.retry_command import InvalidSince, since_of
from tests.fakes.event_log import FakeEventLog
from tests.fakes.failed_jobs import FakeFailedJobs

NOW = datetime(2026, 1, 27, 12, tzinfo=UTC)


def job_id(number: int) -> str:
    return f"0190f5fe-7c00-7a00-8000-{number:012}"


async def log_with_failed(count: int) -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    for number in range(count):
        events: list[Event] = [Created("T", "default", 1, 0, 3), Started(1, "w1"), Failed(1, "w1", "error")]
        await log.append([Append(job_id(number), 0, [NewEvent(event, b'"boom"') for event in events], "w1")])
    return log


async def test_all_that_are_meant_live_again_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    log = await log_with_failed(7)
    told: list[int] = []

    done = await retry_failed(
        Wish(since=NOW - timedelta(days=1)),
        failed=FakeFailedJobs(log),
        log=log,
        actor="operator",
        reason="back",
        told=lambda so_far: told.append(so_far.retried),
    )

    assert (done, told) == (Retried(retried=7), [3, 6, 7])
    assert [type(event.event) for event in log.events[-7:]] == [Queued] * 7
    assert {event.job_id for event in log.events[-7:]} == {job_id(number) for number in range(7)}
    assert {event.actor for event in log.events[-7:]} == {"operator"}


async def test_a_job_that_has_moved_on_is_left_alone() -> None:
    log = await log_with_failed(2)
    failed = FakeFailedJobs(log)
    await failed.refresh()
    await log.append([Append(job_id(0), 3, [NewEvent(Queued("T", "default", 2, 0, 3))], "ada")])
    events = len(log.events)

    done = await retry_failed(
        Wish(since=NOW - timedelta(days=1)), failed=failed, log=log, actor="operator", reason=None, told=lambda _: None
    )

    assert done == Retried(retried=1, moved_on=1)
    assert len(log.events) == events + 1


async def test_a_reason_that_cannot_be_kept_is_refused_before_anything_is_done() -> None:
    log = await log_with_failed(1)
    with pytest.raises(InvalidReason):
        await retry_failed(
            Wish(since=NOW), failed=FakeFailedJobs(log), log=log, actor="o", reason="x" * 1001, told=lambda _: None
        )
    assert len(log.events) == 3


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("999999999d", datetime.min.replace(tzinfo=UTC)),
        ("2026-01-27T10:30:00+01:00", datetime(2026, 1, 27, 9, 30, tzinfo=UTC)),
    ],
)
def test_since_is_so_long_ago_or_a_time(text: str, since: datetime) -> None:
    assert since_of(text, now=NOW) == since


@pytest.mark.parametrize("text", ["", "2", "h", "2w", "-2h", "yesterday", "2026-01-27"])
def test_what_says_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidSince, match="is no time"):
        since_of(text, now=NOW)
