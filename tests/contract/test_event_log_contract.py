"""What EventLog and JobReader promise, over the fake and over PostgreSQL: whoever uses the fake may rely on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.job_reader import PostgresJobReader
from commands.ports import (
    Append,
    Appended,
    Conflict,
    EventLog,
    IdempotencyKey,
    JobReader,
    Refused,
    RejectedData,
    Repeated,
)
from domain.events import Attempted, Completed, Created, Event, NewEvent, Queued, Started, encode_data
from tests.fakes.event_log import FakeEventLog

CREATED = Created(type="CSV_EXPORT", priority="high", attempt=1, used=0, max_attempts=3)


class Logs(Struct):
    """A log with its reader, and workers known to it."""

    log: EventLog
    reader: JobReader
    worker: str = "w1"


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """A database's URL, or None for the fake."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def logs(database: str | None) -> AsyncIterator[Logs]:
    if database is None:
        fake = FakeEventLog()
        fake.workers.add("w1")
        yield Logs(log=fake, reader=fake)
        return
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("insert into workers (id) values ('w1')")
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(database, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(database, size=2, application="contract"))
        yield Logs(log=log, reader=PostgresJobReader(pool))


def new_id() -> str:
    return str(uuid_utils.uuid7())


def command(
    job_id: str, expected: int, *events: Event, content: bytes | None = None, actor: str = "anonymous", key: str = ""
) -> Append:
    new = [NewEvent(event, content) for event in events]
    return Append(job_id, expected, new, actor, IdempotencyKey(key, b"digest") if key else None)


def creation(job_id: str, payload: bytes = b"null", *, key: str = "", digest: bytes = b"digest") -> Append:
    idempotency = IdempotencyKey(key, digest) if key else None
    return Append(job_id, 0, [NewEvent(CREATED, payload)], "anonymous", idempotency)


async def test_positions_follow_each_other_without_gaps_and_conflicts_take_none(logs: Logs) -> None:
    first, second = new_id(), new_id()

    answers = await logs.log.append([creation(first), command(first, 4, CREATED), creation(second)])
    [later] = await logs.log.append([command(first, 1, Started(1, "w1"), actor="w1")])

    assert isinstance(answers[0], Appended)
    assert isinstance(answers[1], Conflict)
    assert isinstance(answers[2], Appended)
    assert isinstance(later, Appended)
    assert [answers[0].position, answers[2].position, later.position] == [1, 2, 3]
    assert answers[0].recorded_at <= later.recorded_at


async def test_a_version_that_is_taken_is_a_conflict_that_says_what_is_there(logs: Logs) -> None:
    job_id = new_id()
    await logs.log.append([creation(job_id)])

    [answer] = await logs.log.append([creation(job_id)])

    assert answer == Conflict(found_type="Created", last_version=1, last_type="Created")


async def test_a_version_beyond_the_next_is_a_conflict(logs: Logs) -> None:
    [answer] = await logs.log.append([command(new_id(), 1, Started(1, "w1"), actor="w1")])

    assert answer == Conflict(found_type=None, last_version=0, last_type=None)


async def test_an_event_that_may_not_follow_is_a_conflict(logs: Logs) -> None:
    job_id = new_id()
    await logs.log.append([creation(job_id)])

    [answer] = await logs.log.append([command(job_id, 1, Completed(1, "w1"), actor="w1")])

    assert answer == Conflict(found_type=None, last_version=1, last_type="Created")


async def test_events_of_one_command_stand_or_fall_together(logs: Logs) -> None:
    job_id = new_id()
    queued = Queued(type="CSV_EXPORT", priority="high", attempt=2, used=0, max_attempts=3)
    released = Attempted(1, "w1", "released", 0.0, 0)
    await logs.log.append([creation(job_id)])
    await logs.log.append([command(job_id, 1, Started(1, "w1"), actor="w1")])

    [whole] = await logs.log.append([command(job_id, 2, released, queued, actor="w1")])
    [broken] = await logs.log.append([command(job_id, 4, Started(2, "w1"), Started(3, "w1"), actor="w1")])

    assert isinstance(whole, Appended)
    assert isinstance(broken, Conflict)
    assert [event.version for event in await logs.reader.history(job_id)] == [1, 2, 3, 4]


async def test_of_two_commands_for_one_version_in_a_batch_the_first_has_it(logs: Logs) -> None:
    job_id = new_id()

    answers = await logs.log.append([creation(job_id), creation(job_id)])

    assert [type(answer) for answer in answers] == [Appended, Conflict]
    assert len(await logs.reader.history(job_id)) == 1


async def test_a_command_behind_others_on_its_job_in_a_batch_is_heard_all_the_same(logs: Logs) -> None:
    """A queue that was made again gives old entries beside the live one, and a closing may meet a claim of what is over."""
    job_id, other = new_id(), new_id()
    await logs.log.append([creation(job_id)])

    answers = await logs.log.append(
        [
            creation(job_id),
            command(job_id, 2, Completed(1, "w1"), actor="w1"),
            creation(other),
            command(job_id, 1, Started(1, "w1"), actor="w1"),
            command(job_id, 2, Completed(1, "w1"), actor="w1"),
        ]
    )

    assert [type(answer) for answer in answers] == [Conflict, Conflict, Appended, Appended, Appended]
    assert answers[3].history[0].job_id == job_id  # type: ignore[union-attr]
    assert [type(one.event) for one in await logs.reader.history(job_id)] == [Created, Started, Completed]


async def test_started_by_an_unknown_worker_is_refused(logs: Logs) -> None:
    job_id = new_id()
    await logs.log.append([creation(job_id)])

    [refused] = await logs.log.append([command(job_id, 1, Started(1, "nobody"), actor="nobody")])
    [accepted] = await logs.log.append([command(job_id, 1, Started(1, "w1"), actor="w1")])

    assert refused == Refused()
    assert isinstance(accepted, Appended)


async def test_started_answers_with_all_that_running_takes(logs: Logs) -> None:
    first, later = new_id(), new_id()
    queued = Queued(type="CSV_EXPORT", priority="high", attempt=2, used=1, max_attempts=3)
    await logs.log.append([creation(first, b'{"a":1}'), creation(later, b'{"b":2}')])
    await logs.log.append([command(later, 1, Started(1, "w1"), actor="w1")])
    await logs.log.append([command(later, 2, Attempted(1, "w1", "error", 1.0, 1), content=b'"boom"', actor="w1")])
    await logs.log.append([command(later, 3, queued, actor="dispatcher")])

    [of_first, of_later] = await logs.log.append(
        [command(first, 1, Started(1, "w1"), actor="w1"), command(later, 4, Started(2, "w1"), actor="w1")]
    )

    assert isinstance(of_first, Appended)
    assert [(event.event, event.content) for event in of_first.history] == [(CREATED, b'{"a":1}')]
    assert isinstance(of_later, Appended)
    assert [(event.version, event.event) for event in of_later.history] == [(1, CREATED), (4, queued)]
    assert of_later.history[0].content == b'{"b":2}'


async def test_a_key_used_before_answers_whose_it_is(logs: Logs) -> None:
    first, second = new_id(), new_id()
    await logs.log.append([creation(first, key="k", digest=b"one")])

    answers = await logs.log.append(
        [creation(second, key="k", digest=b"two"), creation(new_id(), key="other", digest=b"two")]
    )

    assert answers[0] == Repeated(first, b"one")
    assert isinstance(answers[1], Appended)
    assert await logs.reader.find(second) is None


async def test_of_equal_keys_in_one_batch_the_first_wins(logs: Logs) -> None:
    ids = [new_id() for _ in range(20)]

    answers = await logs.log.append([creation(job_id, key="k", digest=b"one") for job_id in ids])

    assert isinstance(answers[0], Appended)
    assert set(answers[1:]) == {Repeated(ids[0], b"one")}


async def test_of_equal_keys_in_concurrent_appends_one_wins(logs: Logs) -> None:
    ids = [new_id() for _ in range(20)]

    answers = await asyncio.gather(*(logs.log.append([creation(job_id, key="k")]) for job_id in ids))

    winners = [job_id for job_id, [answer] in zip(ids, answers, strict=True) if isinstance(answer, Appended)]
    assert len(winners) == 1
    assert {answer.job_id for [answer] in answers if isinstance(answer, Repeated)} == set(winners)


async def test_keys_of_different_actors_have_nothing_to_do_with_each_other(logs: Logs) -> None:
    mine = creation(new_id(), key="k")
    yours = Append(new_id(), 0, mine.events, "another", mine.key)

    answers = await logs.log.append([mine, yours])

    assert [type(answer) for answer in answers] == [Appended, Appended]


async def test_data_that_cannot_be_kept_is_rejected_and_spoils_no_neighbour(logs: Logs) -> None:
    good, bad, other = new_id(), new_id(), new_id()

    answers = await logs.log.append([creation(good), creation(bad, b'"\x00"'), creation(other)])

    assert isinstance(answers[0], Appended)
    assert isinstance(answers[1], RejectedData)
    assert isinstance(answers[2], Appended)
    assert answers[2].position == 2
    assert await logs.reader.find(bad) is None


async def test_what_was_appended_is_read_at_once_and_byte_for_byte(logs: Logs) -> None:
    job_id = new_id()
    payload = b'{ "a" : [1e400, "\\u0000\\ud800", 1 ] , "a":' + b"9" * 5000 + b"}"

    [answer] = await logs.log.append([creation(job_id, payload)])

    job = await logs.reader.find(job_id)
    [event] = await logs.reader.history(job_id)
    assert isinstance(answer, Appended)
    assert job is not None
    assert (job.status, job.version, job.attempts) == ("pending", 1, 0)
    assert job.created_at == job.updated_at == answer.recorded_at
    assert job.queued_position == answer.position
    assert await logs.reader.payload(job_id) == payload
    assert (event.event, event.content, event.actor) == (CREATED, payload, "anonymous")
    assert encode_data(event.event) == encode_data(CREATED)


async def test_a_job_that_is_not_there_is_none_and_has_no_history(logs: Logs) -> None:
    job_id = new_id()

    assert await logs.reader.find(job_id) is None
    assert await logs.reader.payload(job_id) is None
    assert await logs.reader.history(job_id) == []


async def test_an_append_of_nothing_answers_nothing(logs: Logs) -> None:
    assert await logs.log.append([]) == []
