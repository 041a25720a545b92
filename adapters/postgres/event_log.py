"""The event log in PostgreSQL: the client's side of append_events.

One append in flight per process; a batch in doubt is sent again, and an event that is found to be one's own counts as
appended. What must not come in: any decision about jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg
import structlog
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
from adapters.postgres.arrays import register_arrays
from adapters.postgres.connecting import REPLY_SECONDS, connect
from adapters.postgres.log_answers import Sending, answer_of, rows_of, unheard_of
from adapters.postgres.log_encoding import AT_ONCE, Encoded, encoded_command, parameters_of
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME, is_about_data, translated
from commands.measures import AppendMeasures
from commands.outages import WRITE_LOG, Outages
from commands.ports import Answer, Append, Appended, RejectedData, Unavailable
from commands.stretches import in_stretches

_APPEND = load_statement("append_events")
_APPEND_AND_TELL = load_statement("append_events_and_tell")
_QUEUE_AND_TELL = load_statement("queue_events_and_tell")
_log = structlog.get_logger(__name__)

_QUEUEING = frozenset({"Created", "Queued"})
_KEEP_UP = "keep up with what is to be written"  # what outages know that by


class WakeUps(Protocol):
    """What wakes those who read the log. `events`: about how many; `queues`: whether one of them may queue a job."""

    def is_carried(self, *, events: int, queues: bool) -> bool:
        """Whether the append that is about to be sent is to wake them itself."""

    def notify(self, *, events: int, queues: bool) -> None:
        """Wake them: something was appended that did not do so itself."""


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
        self._group: GroupCommit[Encoded, Answer] = GroupCommit(self._send, receiver=NAME)

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
        if len(commands) <= AT_ONCE:
            encoded = [encoded_command(command) for command in commands]
        else:
            encoded = [encoded_command(command) async for command in in_stretches(commands)]
        size = sum(one.size for one in encoded)
        try:
            return await self._group.submit(encoded, size=size)
        except TooMuchWaiting as exc:
            self._outages.failed(exc, doing=_KEEP_UP)
            raise

    async def _send(self, batch: list[Encoded]) -> list[Answer]:
        """Send until there is an answer. Only a batch that was sent before may take an event it finds for its own."""
        sending = Sending(after=self._told_position)

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

    async def _call(self, cursor: AsyncCursor[Any], batch: list[Encoded], sending: Sending) -> list[Answer]:
        parameters = await parameters_of(batch)
        queues = any(not _QUEUEING.isdisjoint(encoded.types) for encoded in batch)
        tells = self._wake_ups is not None and self._wake_ups.is_carried(events=len(batch), queues=queues)
        statement = (_QUEUE_AND_TELL if queues else _APPEND_AND_TELL) if tells else _APPEND
        began = time.perf_counter()
        try:
            await cursor.execute(statement, parameters)
            seconds = time.perf_counter() - began
            rows = await rows_of(cursor, len(batch))
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
        if len(batch) <= AT_ONCE:
            answers = [answer_of(row, encoded, sending) for row, encoded in pairs]
        else:
            answers = [answer_of(row, encoded, sending) async for row, encoded in in_stretches(pairs)]
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
        if unheard := unheard_of(batch, answers):
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


def _may_heal(exc: BaseException) -> bool:
    return isinstance(exc, psycopg.Error) and not is_about_data(exc) and not isinstance(exc, errors.DataCorrupted)
