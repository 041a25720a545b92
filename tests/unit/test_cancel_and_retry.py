"""Cancelling and retrying as commands: decided by what the log says now, and anew where it has moved on meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest

from commands.cancel_job import cancel_job
from commands.decide_anew import NoSuchJob, StateForbids, VersionMismatch
from commands.ports import Answer, Append, Conflict, Unavailable
from commands.retry_job import retry_job
from domain.errors import IllegalTransition
from domain.events import (
    Attempted,
    Cancelled,
    CancelRequested,
    Completed,
    Created,
    Event,
    Failed,
    NewEvent,
    Queued,
    Started,
)
from domain.job import TRANSITIONS, Job, commands_allowed, request_cancel, retry
from domain.reason import InvalidReason
from tests.fakes.event_log import FakeEventLog

ID = "0190f5fe-7c00-7a00-8000-000000000001"
FAILED = Failed(1, "w1", "error", permanent=True)


class MovingLog(FakeEventLog):
    """A log to which somebody else appends in the very moment before the next `overtakes` commands of others."""

    def __init__(self) -> None:
        super().__init__()
        self.workers.add("w1")
        self.overtakes: list[Event] = []

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        """See FakeEventLog."""
        if commands[0].actor == "ada" and self.overtakes:
            await self.add(self.overtakes.pop(0))
        return await super().append(commands)

    async def add(self, *events: Event) -> None:
        """Append to the job, as its worker."""
        version = len(await self.history(ID))
        await super().append([Append(ID, version, [NewEvent(event, b'"x"') for event in events], "w1")])


@pytest.fixture
async def log() -> MovingLog:
    log = MovingLog()
    await log.add(Created("T", "default", 1, 0, 3))
    return log


async def cancel(log: FakeEventLog, *, at: int | None = None, reason: str | None = "no longer wanted") -> Job:
    versions = None if at is None else frozenset({at})
    return await cancel_job(ID, reason=reason, actor="ada", log=log, jobs=log, versions=versions)


async def test_a_queued_job_is_cancelled_at_once_and_its_event_says_who_and_why(log: MovingLog) -> None:
    job = await cancel(log)

    assert (job.status, job.version, job.queued_position) == ("cancelled", 2, None)
    assert job == await log.find(ID)
    assert (log.events[-1].event, log.events[-1].actor) == (Cancelled(reason="no longer wanted"), "ada")


async def test_a_running_job_is_asked_to_stop(log: MovingLog) -> None:
    await log.add(Started(1, "w1"))

    job = await cancel(log)

    assert (job.status, job.state, job.worker) == ("processing", "CancelRequested", "w1")
    assert (log.events[-1].event, log.events[-1].actor) == (CancelRequested(reason="no longer wanted"), "ada")


async def test_a_cancel_that_a_start_overtakes_is_decided_anew(log: MovingLog) -> None:
    log.overtakes = [Started(1, "w1")]

    assert (await cancel(log)).state == "CancelRequested"


async def test_a_cancel_that_the_end_overtakes_is_forbidden_by_what_is_there_then(log: MovingLog) -> None:
    await log.add(Started(1, "w1"))
    log.overtakes = [Completed(1, "w1")]

    with pytest.raises(StateForbids, match="is Completed: cannot cancel; allowed is nothing") as caught:
        await cancel(log)
    assert (caught.value.job.version, caught.value.allowed) == (3, [])


async def test_a_job_that_moved_on_from_the_version_that_is_wanted_is_left_alone(log: MovingLog) -> None:
    log.overtakes = [Started(1, "w1")]

    with pytest.raises(VersionMismatch, match="is at version 2, not at 1"):
        await cancel(log, at=1)
    assert (await cancel(log, at=2)).version == 3


async def test_a_second_request_to_cancel_is_forbidden(log: MovingLog) -> None:
    await log.add(Started(1, "w1"))
    await cancel(log)

    with pytest.raises(StateForbids, match="is CancelRequested"):
        await cancel(log)


async def test_a_failed_job_lives_again_with_a_fresh_maximum(log: MovingLog) -> None:
    await log.add(Started(1, "w1"), FAILED)

    job = await retry_job(ID, reason="the disk is back", actor="ada", log=log, jobs=log)

    assert (job.status, job.attempts, job.used, job.max_attempts) == ("pending", 1, 0, 3)
    assert job == await log.find(ID)
    queued = log.events[-1]
    assert isinstance(queued.event, Queued)
    assert (queued.event.reason, queued.event.attempt, queued.actor) == ("the disk is back", 2, "ada")


async def test_a_job_that_has_not_ended_cannot_be_retried(log: MovingLog) -> None:
    with pytest.raises(StateForbids, match="is Created: cannot retry; allowed is cancel"):
        await retry_job(ID, reason=None, actor="ada", log=log, jobs=log)


async def test_an_unknown_job_and_a_reason_that_cannot_be_kept_are_refused(log: MovingLog) -> None:
    with pytest.raises(InvalidReason, match="has 1001 characters"):
        await cancel(log, reason="x" * 1001)
    with pytest.raises(InvalidReason, match="such a character"):
        await cancel(log, reason="a\0b")
    with pytest.raises(NoSuchJob):
        await cancel_job(ID[:-1] + "2", reason=None, actor="ada", log=log, jobs=log)
    assert len(log.events) == 1


async def test_a_log_that_refuses_what_the_domain_allows_is_not_asked_for_ever(log: MovingLog) -> None:
    class Refusing(MovingLog):
        async def append(self, commands: Sequence[Append]) -> list[Answer]:
            return [Conflict(None, 1, "Created")]

        async def find(self, job_id: str) -> Job | None:
            return await log.find(job_id)

    with pytest.raises(Unavailable, match="again and again"):
        await cancel(Refusing())


@pytest.mark.parametrize("state", sorted({after for _, after in TRANSITIONS}))
async def test_what_is_said_to_be_allowed_is_what_the_verbs_allow(state: str, log: MovingLog) -> None:
    ways: dict[str, list[Event]] = {
        "Created": [],
        "Started": [Started(1, "w1")],
        "CancelRequested": [Started(1, "w1"), CancelRequested()],
        "Completed": [Started(1, "w1"), Completed(1, "w1")],
        "Failed": [Started(1, "w1"), FAILED],
        "Attempted": [Started(1, "w1"), Attempted(1, "w1", "error", 1.0, 1)],
        "Cancelled": [Cancelled()],
        "Queued": [Cancelled(), Queued("T", "default", 1, 0, 3)],
    }
    for event in ways[state]:
        await log.add(event)
    job = await log.find(ID)
    assert job is not None
    assert job.state == state

    allowed = []
    for name, verb in (("cancel", request_cancel), ("retry", retry)):
        with suppress(IllegalTransition):
            verb(job)
            allowed.append(name)
    assert commands_allowed(state) == allowed
