"""NOTIFY and LISTEN: who has appended tells those who read. Only a hint: every reader polls as well.

An append carries the NOTIFY itself, so that to be told costs no round trip of its own: the lock of a NOTIFY, which is one for the
whole cluster, is held no longer than the log's own. But not every append: a wake-up is worth some events, so the next one comes
the later the more events the last one told of. What was appended meanwhile, and no later append tells of, is told apart. Who
keeps the queue hears only of events that may queue a job; who keeps a table hears of all.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from adapters.postgres.connecting import REPLY_SECONDS, connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME
from commands.outages import Outages
from commands.ports import Unavailable

_log = structlog.get_logger(__name__)

# LISTEN connections are asked for a sign of life this often (seconds), and answer or are made anew.
_LISTEN_ROUND = 5.0
_TELL = "tell that something was appended"  # what outages know these two by
_HEAR = "hear that something was appended"


class Channel(Struct, frozen=True):
    """What one can be woken by."""

    notify: LiteralString
    listen: LiteralString


APPENDED = Channel(load_statement("notify_appended"), load_statement("listen_appended"))  # anything
QUEUED = Channel(load_statement("notify_queued"), load_statement("listen_queued"))  # what may queue a job

_SPACING_PER_EVENT = 0.001  # seconds
_SPACING_MOST = 0.02
# Seconds for which the next append of a busy process is waited for, to carry what is to be told.
_NEXT_APPEND = 0.005


def spacing(*, events: int) -> float:
    """Seconds from a NOTIFY of so many events to the next one of the same process on the same channel."""
    return min(_SPACING_MOST, events * _SPACING_PER_EVENT)


class AppendNotifier:
    """Sends the NOTIFYs of one process. An async context manager; `notify` may be called for each append."""

    def __init__(self, database_url: str, *, application: str, outages: Outages | None = None) -> None:
        self._database_url = database_url
        self._application = application
        self._outages = outages or Outages(report=_log)
        self._appended = _Wanted(APPENDED)
        self._queued = _Wanted(QUEUED)
        self._sending = asyncio.Lock()  # both channels share a connection
        self._connection: AsyncConnection[Any] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._tell(self._queued), name="queued notifier"),
            asyncio.create_task(self._tell(self._appended), name="append notifier"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            await _cancel(task)
        if self._connection is not None:
            await self._connection.close()

    def is_carried(self, *, events: int, queues: bool) -> bool:
        """Whether an append that is about to be sent is to wake the readers itself; all that was appended counts as told then.

        If not, it may be too soon after the last wake-up, and `notify` is to be called.
        """
        channels = (self._appended, self._queued) if queues else (self._appended,)
        if not all(wanted.is_due() for wanted in channels):
            return False
        for wanted in channels:
            wanted.carried(events)
        return True

    def notify(self, *, events: int, queues: bool) -> None:
        """Have readers woken soon, of so many new events; `queues`: whether one of them may queue a job."""
        if queues:  # first: both share a connection, and a job waits for this one
            self._queued.add(events)
        self._appended.add(events)

    async def _tell(self, wanted: _Wanted) -> None:
        while True:
            events = await wanted.take()
            # Readers poll: a wake-up that comes late costs a quarter of a second.
            async for attempt in _retrying(self._outages, doing=_TELL):
                with attempt:
                    async with self._sending:
                        if self._connection is None or self._connection.closed:
                            self._connection = await connect(
                                self._database_url, application=f"{self._application} notify"
                            )
                        await self._connection.execute(wanted.channel.notify)
            self._outages.succeeded(doing=_TELL)
            wanted.told(events)


class _Wanted:
    """How many events the readers of a channel have not been told of yet, and from when on they may be told again."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._events = 0
        self._any = asyncio.Event()
        self._next_at = 0.0  # of the loop's clock

    def add(self, events: int) -> None:
        self._events += events
        self._any.set()

    def is_due(self) -> bool:
        """Whether the readers may be told now."""
        return asyncio.get_running_loop().time() >= self._next_at

    def told(self, events: int) -> None:
        """Readers were told of so many now."""
        self._next_at = asyncio.get_running_loop().time() + spacing(events=events)

    def carried(self, events: int) -> None:
        """An append of so many tells them, of itself and of all before."""
        self.told(self._events + events)
        self._events = 0
        self._any.clear()

    async def take(self) -> int:
        """Wait until there are any which no append has carried by the time at which they may be told; they count as taken."""
        while True:
            await self._any.wait()
            await asyncio.sleep(max(0.0, self._next_at - asyncio.get_running_loop().time()) + _NEXT_APPEND)
            if self._events and self.is_due():
                break
        self._any.clear()
        events, self._events = self._events, 0
        return events


class AppendListener:
    """Hears the NOTIFYs of all processes on one channel, by LISTEN on a direct connection. An async context manager.

    It also wakes the reader whenever it begins to listen, at first and after an outage.
    """

    def __init__(
        self,
        database_url: str,
        *,
        channel: Channel,
        application: str,
        outages: Outages | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self._channel = channel
        self._database_url = database_url
        self._application = application
        self._outages = outages or Outages(report=_log)
        self._reply_seconds = reply_seconds
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="append listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _cancel(self._task)

    def wake(self) -> None:
        """Let the waiting reader go on, as a NOTIFY would; also used to stop it."""
        self._woken.set()

    async def wait(self, timeout: float, *, gather: float = 0.0) -> None:
        """Return at the next wake-up, at once if one came since the last call, at the latest after `timeout` seconds.

        `gather`: seconds from the wake-up until the return, for a reader that would rather look once at what comes together
        than soon; what comes meanwhile does not wake again.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        if gather and self._woken.is_set():
            await asyncio.sleep(gather)
        self._woken.clear()

    async def _run(self) -> None:
        while True:
            connection: AsyncConnection[Any] = await _retrying(self._outages, doing=_HEAR)(self._listening)
            self._outages.succeeded(doing=_HEAR)
            self._woken.set()  # for what was appended while nobody listened
            try:
                await self._listen(connection)
            except psycopg.Error as exc:
                self._outages.failed(_unavailable(exc), doing=_HEAR)
            finally:
                await connection.close()

    async def _listening(self) -> AsyncConnection[Any]:
        connection = await connect(
            self._database_url, application=f"{self._application} listen", reply_seconds=self._reply_seconds
        )
        try:
            await connection.execute(self._channel.listen)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        while True:
            async for _ in connection.notifies(timeout=min(_LISTEN_ROUND, self._reply_seconds)):
                self._woken.set()
            await connection.execute("select 1")


def _retrying(outages: Outages, *, doing: str) -> AsyncRetrying:
    """Try for ever, ever more slowly and not in step with others; `outages` hears of each failure."""

    def tell(state: RetryCallState) -> None:
        assert state.outcome is not None
        outages.failed(_unavailable(state.outcome.exception()), doing=doing)

    return AsyncRetrying(
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        retry=retry_if_exception_type(psycopg.Error),
        before_sleep=tell,
    )


def _unavailable(exc: BaseException | None) -> Unavailable:
    return Unavailable(str(exc).strip() or type(exc).__name__, dependency=NAME)


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
