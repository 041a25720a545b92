"""Servers that fail on demand: the real adapters, over real servers, with a fault planned for one of their next commands.

A command is lost before the server sees it, or its reply is; or it is delayed: the client has long given it up when it arrives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, get_args

import psycopg
import redis
from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncCursor
from redis.asyncio import Redis

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.log_answers import Sending, answer_of
from adapters.postgres.log_encoding import Encoded
from commands.outages import Outages
from commands.ports import Answer, Append
from tests.fakes.report import FakeReport

FaultKind = Literal["before", "after", "delayed"]
Place = Literal["log", "reads", "projection", "redis"]  # of what is asked
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
PLACES: tuple[Place, ...] = get_args(Place)
JudgeAppend = Callable[[Sequence[Append], Sequence[Answer]], None]


class Fault(Struct, frozen=True):
    """What becomes of `times` commands at one place, from the command number `nth` (1 is the first) of those to come."""

    place: Place
    kind: FaultKind
    nth: int = 1
    times: int = 1


class Faults:
    """The faults that lie ahead, one a place; whether Redis can be reached; and the commands that are still on their way."""

    def __init__(self) -> None:
        self.redis_is_away = False
        self.delayed: list[tuple[Place, Callable[[], Awaitable[Any]]]] = []
        self._ahead: dict[Place, Fault] = {}

    def plan(self, fault: Fault | None) -> None:
        """It lies ahead from now on, in place of another one there. None changes nothing."""
        if fault is not None:
            self._ahead[fault.place] = fault

    def strike(self, place: Place) -> FaultKind | None:
        """Called once for each command: the fault that it meets."""
        fault = self._ahead.pop(place, None)
        if fault is None:
            return None
        if fault.nth > 1:
            self._ahead[place] = replace(fault, nth=fault.nth - 1)
            return None
        if fault.times > 1:
            self._ahead[place] = replace(fault, times=fault.times - 1)
        return fault.kind

    def clear(self) -> None:
        """From now on all goes well. What is on its way stays so."""
        self.redis_is_away = False
        self._ahead.clear()


class SharedConnection:
    """One connection to PostgreSQL for the logs of all processes: they take turns, as one call is performed at a time."""

    def __init__(self, url: str) -> None:
        self._log = PostgresEventLog(url, application="simulation")

    async def cursor(self) -> AsyncCursor[Any]:
        """The connection's cursor, ready for appends."""
        return await self._log._connected()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._log.__aexit__(None, None, None)


class FaultyLog(PostgresEventLog):
    """The log as one process sees it. `judge` hears of each statement that was carried out: its commands, what became of each."""

    def __init__(
        self, connection: SharedConnection, *, patience: float | None, faults: Faults, judge: JudgeAppend
    ) -> None:
        super().__init__("", application="simulation", patience=patience, outages=Outages(report=FakeReport()))
        self.shared = connection
        self.faults = faults
        self.judge = judge
        self.batch: list[Encoded] = []  # of the statement that is executed next

    async def _call(self, cursor: AsyncCursor[Any], batch: list[Encoded], sending: Sending) -> list[Answer]:
        self.batch = batch
        return await super()._call(cursor, batch, sending)

    async def _connected(self) -> AsyncCursor[Any]:
        return _JudgedCursor(await self.shared.cursor(), self)  # type: ignore[return-value]  # as much of one as is used


class _JudgedCursor:
    def __init__(self, real: AsyncCursor[Any], log: FaultyLog) -> None:
        self._real = real
        self._log = log
        self._left: list[Any] = []

    async def execute(self, statement: Any, parameters: Any) -> None:
        kind = self._log.faults.strike("log")
        if kind == "delayed":
            arrive = partial(self._arrive_late, self._log.batch, statement, parameters)
            self._log.faults.delayed.append(("log", arrive))
        if kind in ("before", "delayed"):
            raise psycopg.OperationalError(f"lost: {kind}")
        await self._real.execute(statement, parameters)
        if kind == "after":
            await self._judged(self._log.batch)
            raise psycopg.OperationalError("the reply is lost")
        self._left = await self._judged(self._log.batch)

    async def fetchall(self) -> list[Any]:
        rows, self._left = self._left, []
        return rows

    async def _judged(self, batch: list[Encoded]) -> list[Any]:
        rows = await self._real.fetchall()
        plain = Sending(after=0)  # not in doubt: what the statement itself says
        answers = [answer_of(row, encoded, plain) for row, encoded in zip(rows, batch, strict=True)]
        self._log.judge([encoded.command for encoded in batch], answers)
        return rows

    async def _arrive_late(self, batch: list[Encoded], statement: Any, parameters: Any) -> None:
        with suppress(psycopg.DataError):  # nobody is there any more to be told
            await self._real.execute(statement, parameters)
            await self._judged(batch)


class FaultyProjection(PostgresJobsProjection):
    """A `delayed` statement is here one whose connection dies before it could commit."""

    def __init__(self, url: str, *, page: int, faults: Faults) -> None:
        super().__init__(url, page=page)
        self._faults = faults

    async def _connected(self) -> AsyncCursor[Any]:
        real = await super()._connected()
        return _FaultyCursor(real, self._faults)  # type: ignore[return-value]  # as much of one as is used


class _FaultyCursor:
    def __init__(self, real: AsyncCursor[Any], faults: Faults) -> None:
        self._real = real
        self._faults = faults
        self.fetchone = real.fetchone

    async def execute(self, statement: Any, parameters: Any) -> None:
        kind = self._faults.strike("projection")
        if kind == "before":
            raise psycopg.OperationalError("lost before")
        if kind == "delayed":
            async with self._real.connection.transaction(force_rollback=True):
                await self._real.execute(statement, parameters)
            raise psycopg.OperationalError("killed within its transaction")
        await self._real.execute(statement, parameters)
        if kind == "after":
            raise psycopg.OperationalError("the reply is lost")


def make_faulty(client: Redis, faults: Faults) -> Redis:
    """The client, whose commands meet what is planned."""
    run: Callable[..., Awaitable[Any]] = client.execute_command

    async def execute_command(*command: Any, **options: Any) -> Any:
        if faults.redis_is_away:
            raise redis.ConnectionError("away")
        kind = faults.strike("redis")
        if kind == "delayed":
            faults.delayed.append(("redis", partial(_arrive_late, client, run, command, options)))
        if kind in ("before", "delayed"):
            raise redis.ConnectionError(f"lost: {kind}")
        answer = await run(*command, **options)
        if kind == "after":
            raise redis.ConnectionError("the reply is lost")
        return answer

    client.execute_command = execute_command  # type: ignore[method-assign]
    return client


async def _arrive_late(
    client: Redis, run: Callable[..., Awaitable[Any]], command: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with suppress(redis.ResponseError):  # nobody is there any more to be told
        await run(*command, **options)
    await client.connection_pool.disconnect()  # who sent it may be gone, and would leave it open
