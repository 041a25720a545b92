"""Many commands in one batch: each has its own fate, whatever its neighbours carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Append, Appended, IdempotencyKey, RejectedData
from domain import job as verbs
from domain.errors import Unavailable
from domain.events import NewEvent, Started
from tests.conftest import free_port
from tests.real_log import connected, head, read_log


@pytest.fixture
async def log(postgres_url: str) -> AsyncIterator[PostgresEventLog]:
    async with PostgresEventLog(postgres_url, application="batches", patience=20.0) as log:
        yield log


def creation(payload: bytes | None = b"{}", *, actor: str = "client", key: str = "") -> Append:
    [created] = verbs.create(type="T", priority="default", payload=b"", max_attempts=3)
    events = [NewEvent(created.event, payload)]
    return Append(str(uuid_utils.uuid7()), 0, events, actor, IdempotencyKey(key, b"d") if key else None)


# What PostgreSQL refuses in a json column or in a text, each with another SQLSTATE or in another place.
UNKEEPABLE = {
    "no JSON": b"{oops",
    "nothing": b"",
    "two values": b"1 2",
    "a NUL byte": b'"\x00"',
    "no UTF-8": b'"\xff"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "nesting without end": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("payload", UNKEEPABLE.values(), ids=UNKEEPABLE.keys())
async def test_of_a_batch_only_the_command_with_unkeepable_content_is_rejected(
    postgres_url: str, log: PostgresEventLog, payload: bytes
) -> None:
    commands = [creation(b'{"n": %d}' % n) for n in range(9)]
    commands.insert(6, creation(payload))

    answers = await log.append(commands)

    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Appended)] == [6]
    assert isinstance(answers[6], RejectedData)
    assert str(answers[6])
    with connected(postgres_url) as db:
        there = read_log(db)
    assert [e.content for e in there] == [b'{"n": %d}' % n for n in range(9)]
    assert [a.position for a in answers if isinstance(a, Appended)] == [e.position for e in there]


async def test_an_actor_that_is_no_text_is_rejected_alone(log: PostgresEventLog) -> None:
    answers = await log.append([creation(), creation(actor="a\x00b"), creation(key="k\x00")])
    assert [type(answer) for answer in answers] == [Appended, RejectedData, RejectedData]


async def test_what_cannot_be_encoded_fails_its_own_caller_and_nobody_else(
    postgres_url: str, log: PostgresEventLog
) -> None:
    """All in flight at once, so that they would share a batch."""
    bad_id = Append("not-a-uuid", 0, creation().events, "client")
    bad_worker = Append(str(uuid_utils.uuid7()), 1, [NewEvent(Started(attempt=1, worker="\ud800"))], "w")
    results = await asyncio.gather(
        log.append([creation()]),
        log.append([creation(actor="\ud800")]),
        log.append([creation(key="\ud800")]),
        log.append([bad_id]),
        log.append([bad_worker]),
        log.append([creation()]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        list,
        *[UnicodeEncodeError] * 2,
        ValueError,
        UnicodeEncodeError,
        list,
    ]
    with connected(postgres_url) as db:
        assert head(db) == 2


async def test_every_byte_of_any_json_is_kept(postgres_url: str, log: PostgresEventLog) -> None:
    payloads = [
        None,
        b"null",
        b' {"a" : 1, "a": 2 } \n',
        '"☃ 😀 é"'.encode(),
        b'"\\u0000\\ud800"',
        b"1e400",
        b"-0",
        b"9" * 5000,
        b'"' + b"x" * 1_000_000 + b'"',
        b"[" * 64 + b"]" * 64,
    ]
    answers = await log.append([creation(payload) for payload in payloads])
    assert {type(answer) for answer in answers} == {Appended}
    with connected(postgres_url) as db:
        assert [e.content for e in read_log(db)] == payloads


async def test_many_callers_share_round_trips_and_keep_their_order(postgres_url: str, log: PostgresEventLog) -> None:
    """Submitted in one order, recorded in that order, whatever batches they form."""
    answers = await asyncio.gather(*(log.append([creation(), creation()]) for _ in range(1_500)))
    positions = [a.position for pair in answers for a in pair if isinstance(a, Appended)]
    assert positions == list(range(1, 3_001))


async def test_a_log_without_a_server_is_unavailable_within_its_patience_and_says_so(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    nowhere = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{free_port()}")))
    async with PostgresEventLog(nowhere, application="nowhere", patience=0.2) as log:
        with pytest.raises(Unavailable, match="append to the log"):
            await log.append([creation()])


async def test_a_large_batch_lets_others_have_their_turns_and_has_all_its_answers_in_order(
    postgres_url: str, log: PostgresEventLog
) -> None:
    commands = [creation(b'{"n": %d}' % n) for n in range(3_000)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(other())
    with pytest.raises(ValueError, match="fromhex"):  # met at the last one, before anything is sent
        await log.append([*commands, Append("no UUID", 0, commands[0].events, "client")])
    others.cancel()
    commands.insert(2_345, creation(b"{oops"))
    answers = await log.append(commands)

    assert turns > 0
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Appended)] == [2_345]
    with connected(postgres_url) as db:
        there = read_log(db)
    assert [event.content for event in there] == [b'{"n": %d}' % n for n in range(3_000)]
    assert [answer.position for answer in answers if isinstance(answer, Appended)] == list(range(1, 3_001))
