"""`jobledger health`: whether one process does its work, as an exit code, for those who watch over containers.

It looks from outside at what the process brings about; it changes nothing, and starts in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Literal

from commands.health import Health, HealthReader, WorkerBeat
from commands.ports import Unavailable
from commands.queue_ports import Source
from domain.errors import JobledgerError
from entrypoints.settings import InvalidSetting, Settings, read_settings

if TYPE_CHECKING:
    from entrypoints.wiring import Pool

Process = Literal["api", "dispatcher", "projector", "worker"]

EPILOGUE = "Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db jobledger health worker`"

_API_SECONDS = 5.0  # the API itself waits 3 seconds for PostgreSQL before it answers 503
_BEAT_SECONDS = 5.0  # a worker's heartbeat comes once a second
_LOOK_EVERY = 0.25  # seconds between two looks at the heartbeat
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated, not listened on


class NotHealthy(JobledgerError):
    """A process does not do its work, or nobody can tell."""

    code = "not_healthy"


def health(process: Process) -> None:
    """Say by the exit code whether a process does its work: 0 it does; 1 it does not, and one sentence says why.

    api: it answers on API_PORT, and can take jobs. worker: the heartbeat of a worker of this host (in a container: of this
    container) moves, and says that it can claim jobs, be it directly from PostgreSQL while Redis is away. dispatcher: one
    leads, this or another. projector: no event has waited for longer than READY_MAX_LAG_SECONDS to be seen in the table
    `jobs`. All but the first ask PostgreSQL.

    Parameters
    ----------
    process
        Which process.
    """
    settings = read_settings()
    logging.disable()  # the sentence says it all; Docker keeps but a few lines of each check
    if process == "api":
        _check_api(settings)
        return
    if not settings.database_url:
        raise InvalidSetting("DATABASE_URL", "", "must be set for this command")
    check = {"worker": _check_worker, "dispatcher": _check_dispatcher, "projector": _check_projector}[process]
    try:
        asyncio.run(check(settings))
    except Unavailable as exc:
        raise NotHealthy(f"nobody can tell how the {process} is: {exc}") from exc


def _check_api(settings: Settings) -> None:
    host = _EVERYWHERE.get(settings.api_host, settings.api_host)
    connection = HTTPConnection(
        host, settings.api_port, timeout=_API_SECONDS
    )  # through no proxy, whatever the environment says
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        raise NotHealthy(f"the API does not answer on {host}:{settings.api_port}: {exc}") from exc
    finally:
        connection.close()
    if status != 200:
        raise NotHealthy(f"the API cannot do its work: GET /health answers {status}")


async def _check_worker(settings: Settings) -> None:
    from entrypoints import wiring

    async with wiring.pool(settings, application="health", size=1) as pool:
        said = await _claims_of_worker(_health_reader(pool))
    if said == "jobs":
        sys.stdout.write("degraded: it claims jobs directly from PostgreSQL, as it cannot reach Redis\n")


async def _claims_of_worker(reader: HealthReader) -> Source:
    """Where a worker of this host claims jobs, as a heartbeat says that comes while this looks. Raises NotHealthy."""
    from entrypoints.process import host_of

    async def look() -> dict[str, WorkerBeat]:
        workers = await reader.workers()
        return {name: beat for name, beat in workers.items() if host_of(name) == socket.gethostname()}

    before = await look()
    if not before:
        raise NotHealthy(f"no worker is registered for the host {socket.gethostname()}")
    moved: set[str] = set()
    until = time.monotonic() + _BEAT_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(_LOOK_EVERY)
        for name, beat in (await look()).items():
            # A name that was not there is a worker that has just registered anew.
            if name not in before or beat.counter > before[name].counter:
                moved.add(name)
                if beat.claims_from is not None:
                    return beat.claims_from
    if moved:
        raise NotHealthy("the worker lives, but can claim jobs neither by Redis nor directly from PostgreSQL")
    raise NotHealthy(f"the worker's heartbeat has not moved for {_BEAT_SECONDS:.0f} seconds")


async def _check_dispatcher(settings: Settings) -> None:
    if (await _read_health(settings)).dispatcher is None:
        raise NotHealthy("no dispatcher leads: nobody holds the lease")


async def _check_projector(settings: Settings) -> None:
    age = (await _read_health(settings)).projection_age or 0.0
    if age > settings.ready_max_lag_seconds:
        raise NotHealthy(f"an event has waited for {age:.0f} seconds to be seen in the table jobs")


async def _read_health(settings: Settings) -> Health:
    from entrypoints import wiring

    async with wiring.pool(settings, application="health", size=1) as pool:
        health = await _health_reader(pool).read()
    if not health.schema_fits:
        raise NotHealthy("the schema does not fit this release")
    return health


def _health_reader(pool: Pool) -> HealthReader:
    from adapters.postgres.health_reader import PostgresHealthReader
    from domain.job import TRANSITIONS

    return PostgresHealthReader(pool, transitions=TRANSITIONS)
