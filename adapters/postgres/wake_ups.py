"""NOTIFY and LISTEN: who has appended tells those who read. Only a hint: every reader polls as well.

A NOTIFY takes a lock of the whole cluster at its commit, so it is never part of an append: it follows in a transaction of its
own, at most one in flight and one a millisecond, whatever the number of appends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import psycopg
import structlog
from psycopg import AsyncConnection
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from adapters.postgres.connecting import REPLY_SECONDS, connect
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import NAME
from commands.outages import Outages
from commands.ports import Unavailable

_log = structlog.get_logger(__name__)

_NOTIFY = load_statement("notify_appended")
_LISTEN = load_statement("listen_appended")
_SPACING = 0.001  # seconds between two NOTIFYs of one process
# LISTEN connections are asked for a sign of life this often (seconds), and answer or are made anew.
_LISTEN_ROUND = 5.0
_TELL = "tell that something was appended"  # what outages know these two by
_HEAR = "hear that something was appended"


class AppendNotifier:
    """Sends the NOTIFYs of one process. An async context manager; `notify` may be called for each append."""

    def __init__(self, database_url: str, *, application: str, outages: Outages | None = None) -> None:
        self._database_url = database_url
        self._application = application
        self._outages = outages or Outages(report=_log)
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="append notifier")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _cancel(self._task)

    def notify(self) -> None:
        """Have readers woken soon."""
        self._wanted.set()

    async def _run(self) -> None:
        connection: AsyncConnection[Any] | None = None
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                # Readers poll: a wake-up that comes late costs a quarter of a second.
                async for attempt in _retrying(self._outages, doing=_TELL):
                    with attempt:
                        if connection is None or connection.closed:
                            connection = await connect(self._database_url, application=f"{self._application} notify")
                        await connection.execute(_NOTIFY)
                self._outages.succeeded(doing=_TELL)
                await asyncio.sleep(_SPACING)
        finally:
            if connection is not None:
                await connection.close()


class AppendListener:
    """Hears the NOTIFYs of all processes, by LISTEN on a direct connection. An async context manager.

    It also wakes the reader whenever it begins to listen, at first and after an outage.
    """

    def __init__(
        self,
        database_url: str,
        *,
        application: str,
        outages: Outages | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
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

    async def wait(self, timeout: float) -> None:
        """Return at the next wake-up, at once if one came since the last call, at the latest after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._woken.wait()
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
            await connection.execute(_LISTEN)
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
