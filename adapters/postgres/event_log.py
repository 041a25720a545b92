"""The event log in PostgreSQL: the client's side of append_events.

One append in flight per process; a batch in doubt is sent again, and an event that is found to be one's own counts as
appended. What must not come in: any decision about jobs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection, AsyncCursor, errors
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    stop_never,
    wait_random_exponential,
)

from adapters.group_commit import GroupCommit, TooMuchWaiting
from adapters.postgres.arrays import (
    Array,
    bytea_array,
    int4_array,
    register_arrays,
    text_array,
    utf8_array,
    uuid_array,
    uuid_bytes,
)
from adapters.postgres.connecting import REPLY_SECONDS, connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME, is_about_data, translated
from commands.measures import AppendMeasures
from commands.outages import WRITE_LOG, Outages
from commands.ports import Answer, Append, Appended, Conflict, Refused, RejectedData, Repeated, Unavailable
from commands.stretches import in_stretches
from domain.events import RecordedEvent, decode_data, encode_data, type_name

_APPEND = load_statement("append_events")
_APPEND_AND_TELL = load_statement("append_events_and_tell")
_QUEUE_AND_TELL = load_statement("queue_events_and_tell")
_COLUMNS = 17  # of append_events
_FEW = 40  # commands in an append that may wake the readers itself
_log = structlog.get_logger(__name__)

_QUEUEING = frozenset({"Created", "Queued"})
# Commands that are encoded, and answers that are read, without a turn for others: as many as an ordinary batch holds at most.
_AT_ONCE = 1_000
_AT_A_TIME = 200  # where there are more: about a millisecond each
_KEEP_UP = "keep up with what is to be written"  # what outages know that by


class WakeUps(Protocol):
    """What wakes those who read the log. `events`: about how many; `queues`: whether one of them may queue a job."""

    def is_carried(self, *, events: int, queues: bool) -> bool:
        """Whether the append that is about to be sent is to wake them itself."""

    def notify(self, *, events: int, queues: bool) -> None:
        """Wake them: something was appended that did not do so itself."""


class _Encoded(Struct, frozen=True):
    """A command as the arrays hold it: encoded before the lock is taken, once, whatever has to be sent again."""

    command: Append
    job_id: bytes
    actor: bytes
    key: bytes | None
    types: list[str]
    datas: list[bytes]
    size: int  # about so many bytes


class _Sending:
    """One batch on its way: which of the events that it finds in the log may be its own."""

    def __init__(self, *, after: int) -> None:
        self.in_doubt = False  # whether it was sent before, and its answer lost
        self._after = after  # the highest position that anybody here had been told of before it was first sent
        self._given: set[tuple[bytes, int]] = set()  # job and version of what was given to a command in this try

    def begin_try(self) -> None:
        """It is sent (again)."""
        self._given.clear()

    def owns(self, encoded: _Encoded, position: int | None) -> bool:
        """Whether the event at that position can be of this command: not an older one of the same kind, such as an earlier
        claim of the same entry, nor one that stands before it in the batch."""
        is_new = position is not None and position > self._after
        return self.in_doubt and is_new and (encoded.job_id, encoded.command.expected) not in self._given

    def give(self, encoded: _Encoded) -> None:
        """The command has its event."""
        self._given.add((encoded.job_id, encoded.command.expected))


class PostgresEventLog:
    """Implements commands.ports.EventLog. An async context manager; it keeps one connection and makes it anew when lost.

    `patience`: seconds to go on trying while PostgreSQL is away, then Unavailable; None: as long as this is open (a worker has
    nothing better to do with an outcome than to keep it). A batch in doubt is sent once more in any case. `wake_ups` wakes
    the log's readers whenever a batch wrote something. A call without an answer after `reply_seconds` is in doubt.
    """

    def __init__(
        self,
        database_url: str,
        *,
        application: str,
        patience: float | None = None,
        wake_ups: WakeUps | None = None,
        outages: Outages | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self._database_url = database_url
        self._application = application
        self._reply_seconds = reply_seconds
        self._outages = outages or Outages(report=_log)
        self._is_closing = False
        self._has_no_patience_left = stop_never if patience is None else stop_after_delay(patience)
        self._wake_ups = wake_ups
        self._connection: AsyncConnection[Any] | None = None
        self._cursor: AsyncCursor[Any] | None = None
        self._told_position = 0  # the highest of all answers so far
        self.measures = AppendMeasures()
        self._group: GroupCommit[_Encoded, Answer] = GroupCommit(self._send, receiver=NAME)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is under way is answered; what cannot be written now is not waited for, else no process could be stopped
        # while PostgreSQL is away.
        self._is_closing = True
        await self._group.drain()
        await self._disconnect()

    @property
    def waiting(self) -> int:
        """Commands that the next batches will take."""
        return self._group.waiting

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        """See EventLog.append. After Unavailable for a batch in doubt, its events may be in the log all the same.

        Raises ValueError for a job id that is no UUID and for an actor or key with a lone surrogate.
        """
        # Whatever cannot be encoded fails here, at its own caller, and not in a batch with others.
        if len(commands) <= _AT_ONCE:
            encoded = [_encoded(command) for command in commands]
        else:
            encoded = [_encoded(command) async for command in in_stretches(commands)]
        size = sum(one.size for one in encoded)
        try:
            return await self._group.submit(encoded, size=size)
        except TooMuchWaiting as exc:
            self._outages.failed(exc, doing=_KEEP_UP)
            raise

    async def _send(self, batch: list[_Encoded]) -> list[Answer]:
        """Send until there is an answer. Only a batch that was sent before may take an event it finds for its own."""
        sending = _Sending(after=self._told_position)

        def gives_up(state: RetryCallState) -> bool:
            sent_once = sending.in_doubt and state.attempt_number == 1
            return self._is_closing or (not sent_once and self._has_no_patience_left(state))

        with translated("append to the log"):
            async for attempt in AsyncRetrying(
                stop=gives_up,
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                retry=retry_if_exception(_may_heal),
                reraise=True,
            ):
                with attempt, self._told():
                    cursor = await self._connected()
                    sending.begin_try()
                    try:
                        return await self._call(cursor, batch, sending)
                    except psycopg.Error:
                        # The answer was lost; or, on a living connection, a half of the batch is in the log already.
                        sending.in_doubt = True
                        raise
        raise AssertionError("tenacity ends by an answer or by an error")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say how the try inside went to those who keep count of outages."""
        try:
            yield
        except psycopg.Error as exc:
            if _may_heal(exc):
                error = str(exc).strip() or type(exc).__name__
                self._outages.failed(Unavailable(error, dependency=NAME), doing=WRITE_LOG)
            raise
        self._outages.succeeded(doing=WRITE_LOG)
        self._outages.succeeded(doing=_KEEP_UP)

    async def _call(self, cursor: AsyncCursor[Any], batch: list[_Encoded], sending: _Sending) -> list[Answer]:
        parameters = await _parameters(batch)
        queues = any(not _QUEUEING.isdisjoint(encoded.types) for encoded in batch)
        tells = (
            self._wake_ups is not None
            and len(batch) <= _FEW
            and self._wake_ups.is_carried(events=len(batch), queues=queues)
        )
        statement = (_QUEUE_AND_TELL if queues else _APPEND_AND_TELL) if tells else _APPEND
        began = time.perf_counter()
        try:
            await cursor.execute(statement, parameters)
            seconds = time.perf_counter() - began
            rows = await _rows(cursor, len(batch))
        except psycopg.Error as exc:
            if not is_about_data(exc):
                raise
            if len(batch) == 1:
                return [RejectedData(str(exc))]
            # One command's data spoils the statement: halve until it stands alone.
            middle = len(batch) // 2
            first = await self._call(cursor, batch[:middle], sending)
            return first + await self._call(cursor, batch[middle:], sending)
        pairs = zip(rows, batch, strict=True)
        if len(batch) <= _AT_ONCE:
            answers = [_answer(row, encoded, sending) for row, encoded in pairs]
        else:
            answers = [_answer(row, encoded, sending) async for row, encoded in in_stretches(pairs)]
        types: list[str] = []
        for answer, encoded in zip(answers, batch, strict=True):
            if type(answer) is Appended:
                types += encoded.types
                if answer.position > self._told_position:
                    self._told_position = answer.position
        self.measures.events.update(types)
        if batch:
            self.measures.answered(events=sum(len(encoded.types) for encoded in batch), seconds=seconds)
        if self._wake_ups is not None and types and not tells:
            self._wake_ups.notify(events=len(batch), queues=queues)
        # append_events hears one command a job; the others are heard after it, one by one: a claim of what is long over must
        # not cost its job the closing, or the claim, that stands behind it.
        if unheard := _unheard(batch, answers):
            heard = await self._call(cursor, [batch[place] for place in unheard], sending)
            for place, answer in zip(unheard, heard, strict=True):
                answers[place] = answer
        return answers

    async def _connected(self) -> AsyncCursor[Any]:
        if self._cursor is None or self._connection is None or self._connection.closed:
            await self._disconnect()
            self._connection = await connect(
                self._database_url, application=self._application, reply_seconds=self._reply_seconds
            )
            register_arrays(self._connection)
            self._cursor = self._connection.cursor(binary=True)
        return self._cursor

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._connection = self._cursor = None


def _unheard(batch: list[_Encoded], answers: list[Answer]) -> list[int]:
    """The places of conflicts that stand behind another command on the same job."""
    if not any(type(answer) is Conflict for answer in answers):
        return []
    seen: set[bytes] = set()
    unheard = []
    for place, (encoded, answer) in enumerate(zip(batch, answers, strict=True)):
        if type(answer) is Conflict and encoded.job_id in seen:
            unheard.append(place)
        seen.add(encoded.job_id)
    return unheard


def _may_heal(exc: BaseException) -> bool:
    return isinstance(exc, psycopg.Error) and not is_about_data(exc) and not isinstance(exc, errors.DataCorrupted)


def _encoded(command: Append) -> _Encoded:
    datas = [encode_data(new.event) for new in command.events]
    key = command.key.key.encode() if command.key else None
    types = [type_name(new.event) for new in command.events]
    size = 0
    for data, new in zip(datas, command.events, strict=True):
        size += len(data) + 100 + (len(new.content) if new.content else 0)
    return _Encoded(command, uuid_bytes(command.job_id), command.actor.encode(), key, types, datas, size)


async def _parameters(batch: list[_Encoded]) -> list[Array]:
    """The statement's parameters; others have a turn where there are many."""
    columns = _Columns(keyed=any(encoded.key is not None for encoded in batch))
    if len(batch) <= _AT_ONCE:
        columns.add(enumerate(batch))
        return list(columns.packed())
    async for part in in_stretches(_parts(batch)):
        columns.add(part)
    return [packed async for packed in in_stretches(columns.packed())]


def _parts(batch: list[_Encoded]) -> Iterator[Iterable[tuple[int, _Encoded]]]:
    for begin in range(0, len(batch), _AT_A_TIME):
        yield enumerate(batch[begin : begin + _AT_A_TIME], start=begin)


async def _rows(cursor: AsyncCursor[Any], count: int) -> list[tuple[Any, ...]]:
    """All rows, which are in this process already but not Python's yet; others have a turn where there are many."""
    if count <= _AT_ONCE:
        return await cursor.fetchall()
    rows: list[tuple[Any, ...]] = []
    while part := await cursor.fetchmany(_AT_A_TIME):
        rows += part
        await asyncio.sleep(0)
    return rows


class _Columns:
    """The events of a batch as the arrays that append_events takes."""

    def __init__(self, *, keyed: bool) -> None:
        self._keyed = keyed
        self._numbers: list[int] = []
        self._job_ids: list[bytes] = []
        self._versions: list[int] = []
        self._types: list[str] = []
        self._datas: list[bytes] = []
        self._contents: list[bytes | None] = []
        self._actors: list[bytes] = []
        self._keys: list[bytes | None] = []
        self._digests: list[bytes | None] = []

    def add(self, numbered: Iterable[tuple[int, _Encoded]]) -> None:
        """The events of these commands, with the commands' places in the batch."""
        numbers, job_ids, versions = self._numbers, self._job_ids, self._versions
        contents, actors, keyed = self._contents, self._actors, self._keyed
        for number, encoded in numbered:
            command = encoded.command
            self._types += encoded.types
            self._datas += encoded.datas
            for offset, new in enumerate(command.events, start=1):
                numbers.append(number)
                job_ids.append(encoded.job_id)
                versions.append(command.expected + offset)
                contents.append(new.content)
                actors.append(encoded.actor)
                if keyed:
                    self._keys.append(encoded.key)
                    self._digests.append(command.key.digest if command.key else None)

    def packed(self) -> Iterator[Array]:
        """Each column, in the statement's order; packed when it is asked for."""
        yield int4_array(self._numbers)
        yield uuid_array(self._job_ids)
        yield int4_array(self._versions)
        yield text_array(self._types)
        yield utf8_array(self._datas)
        yield utf8_array(self._contents)
        yield utf8_array(self._actors)
        yield utf8_array(self._keys)
        yield bytea_array(self._digests)


def _answer(row: tuple[Any, ...], encoded: _Encoded, sending: _Sending) -> Answer:
    (
        _command,
        outcome,
        position,
        recorded_at,
        found_type,
        found_data,
        found_actor,
        last_version,
        last_type,
        found_job_id,
        found_digest,
        *granted,
    ) = row[:_COLUMNS]
    command = encoded.command
    mine = (
        sending.in_doubt
        and found_type == encoded.types[0]
        and found_actor == command.actor
        and found_data == encoded.datas[0].decode()
        and sending.owns(encoded, position)
    )
    # A key that was remembered together with my own event has been used by nobody else.
    if outcome == "appended" or (mine and (outcome != "repeated" or found_job_id == command.job_id)):
        sending.give(encoded)
        return Appended(position, recorded_at, _history(command.job_id, command.expected, *granted))
    match outcome:
        case "conflict":
            return Conflict(found_type, last_version or 0, last_type)
        case "repeated":
            return Repeated(found_job_id, found_digest)
        case "refused":
            return Refused()
        case _:
            raise Unavailable(
                f"append_events answered {outcome!r}: its schema does not fit this release", dependency=NAME
            )


def _history(
    job_id: str,
    queued_version: int,
    created_data: str | None,
    created_position: int,
    created_at: datetime,
    payload: str | None,
    queued_data: str | None,
    queued_position: int,
) -> tuple[RecordedEvent, ...]:
    if created_data is None:
        return ()
    content = None if payload is None else payload.encode()
    created = RecordedEvent(created_position, job_id, 1, decode_data("Created", created_data), content, "", created_at)
    if queued_data is None:
        return (created,)
    event = decode_data("Queued", queued_data)
    return (created, RecordedEvent(queued_position, job_id, queued_version, event, None, "", created_at))
