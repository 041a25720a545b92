"""The use case of creating a job, over the fake log."""

from __future__ import annotations

import itertools

import pytest

from commands.create_job import CreateJob, JobCreated, JobCreator, KeyReused
from commands.ports import IdempotencyKey, RejectedData, Unavailable
from domain.errors import UnknownJobType
from domain.events import Created
from tests.api_under_test import JOB_TYPES
from tests.fakes.event_log import FakeEventLog


def creator(log: FakeEventLog, *, ids: itertools.count[int] | None = None) -> JobCreator:
    numbers = itertools.count(1) if ids is None else ids
    return JobCreator(
        log=log,
        job_types=JOB_TYPES,
        new_job_id=lambda: f"0190f5fe-7c00-7a00-8000-{next(numbers):012}",
        max_attempts=3,
    )


def wanted(*, type: str = "CSV_EXPORT", payload: bytes = b"{}", key: str = "", digest: bytes = b"d") -> CreateJob:
    idempotency = IdempotencyKey(key, digest) if key else None
    return CreateJob(type=type, priority="high", payload=payload, actor="anonymous", key=idempotency)


async def test_a_job_begins_with_what_its_first_attempt_needs() -> None:
    log = FakeEventLog()

    created = await creator(log).create(wanted(payload=b'{ "a": 1}'))

    [event] = log.events
    assert created == JobCreated(event.job_id, position=1)
    assert event.event == Created(type="CSV_EXPORT", priority="high", attempt=1, used=0, max_attempts=3)
    assert event.content == b'{ "a": 1}'
    assert event.actor == "anonymous"


async def test_a_job_type_says_how_many_attempts_its_jobs_have() -> None:
    log = FakeEventLog()

    await creator(log).create(wanted(type="EMAIL_SEND"))

    assert isinstance(log.events[0].event, Created)
    assert log.events[0].event.max_attempts == 5


async def test_a_type_that_is_not_installed_is_refused_with_those_that_are() -> None:
    log = FakeEventLog()

    with pytest.raises(UnknownJobType) as refused:
        await creator(log).create(wanted(type="NOPE"))

    assert refused.value.known == ["CSV_EXPORT", "EMAIL_SEND"]
    assert log.events == []


async def test_the_same_key_and_digest_is_the_same_job() -> None:
    log = FakeEventLog()
    use_case = creator(log)

    first = await use_case.create(wanted(key="k"))
    again = await use_case.create(wanted(key="k"))

    assert again == JobCreated(first.job_id, replayed=True)
    assert len(log.events) == 1


async def test_the_same_key_with_another_digest_is_refused_and_names_the_job() -> None:
    log = FakeEventLog()
    use_case = creator(log)
    first = await use_case.create(wanted(key="k", digest=b"one"))

    with pytest.raises(KeyReused) as refused:
        await use_case.create(wanted(key="k", digest=b"two"))

    assert refused.value.job_id == first.job_id
    assert len(log.events) == 1


async def test_an_own_append_that_is_met_again_is_no_replay() -> None:
    # An append in doubt is sent again by the log's client, and then meets the key that it has left itself.
    log = FakeEventLog()
    first = await creator(log).create(wanted(key="k"))

    again = await creator(log).create(wanted(key="k"))  # draws the same id

    assert again == JobCreated(first.job_id, replayed=False)


async def test_an_id_that_is_taken_asks_the_caller_to_try_again() -> None:
    log = FakeEventLog()
    await creator(log).create(wanted())

    with pytest.raises(Unavailable):
        await creator(log).create(wanted())


async def test_data_that_the_log_refuses_is_told_as_such() -> None:
    with pytest.raises(RejectedData):
        await creator(FakeEventLog()).create(wanted(payload=b'"\x00"'))
