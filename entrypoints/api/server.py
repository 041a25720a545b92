"""The process `jobledger api`: serves the HTTP API. Any number may run. It needs PostgreSQL and nothing else."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from litestar.types import ASGIApp
from prometheus_client import Metric

from adapters.files.result_files import OutputFiles
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.event_pages import PostgresEventPages
from adapters.postgres.health_reader import PostgresHealthReader
from adapters.postgres.job_ends import PostgresJobEnds
from adapters.postgres.job_lister import PostgresJobLister
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.own_connection import OwnConnection
from adapters.postgres.progress_board import PostgresProgressBoard
from adapters.postgres.standing_reader import PostgresStandingReader
from adapters.postgres.stats_reader import PostgresStatsReader
from adapters.postgres.wake_ups import APPENDED, AppendListener
from adapters.prometheus import families
from commands.follow_log import LogFollower
from commands.health import HealthReader
from commands.key_ring import READ_KEYS, RENEW_SECONDS, KeyRing
from commands.measures import RequestMeasures
from commands.outages import READ_JOBS, WRITE_LOG, Outages
from commands.ports import EventLog
from commands.wait_for_end import EndOfJobs
from domain.job import TRANSITIONS
from entrypoints import wiring
from entrypoints.api.answers import NOSNIFF
from entrypoints.api.app import make_app
from entrypoints.api.http_protocol import bounded_protocol
from entrypoints.metrics import serving_metrics, standing_now, writer_metrics
from entrypoints.open_access import check_open_access, is_loopback
from entrypoints.process import stop_on_signals, unless_stopped, wait_until_ready
from entrypoints.repeating import repeat
from entrypoints.settings import InvalidSetting, Settings

_log = structlog.get_logger(__name__)

_READ_CONNECTIONS = 8  # statements that run at a time; each takes well under a millisecond
_PATIENCE = 5.0  # seconds a request waits while PostgreSQL is away, as in a restart, before it is answered 503
# Seconds in which the keys are there, or a new connection is made: what is known of them is believed for no more than five.
_KEYS_REPLY = 2.0
_LOOK_AGAIN = 0.5  # seconds between two looks at what has failed
_BACKLOG = 2048  # connections that wait to be accepted; the kernel may allow fewer (net.core.somaxconn)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is being answered, for at most SHUTDOWN_GRACE_SECONDS.

    Raises InvalidSetting (a port in use, among others), UnusableJobType, SchemaMismatch, OpenToOthers.
    """
    types = wiring.job_types(settings)
    with stop_on_signals() as stop, bound_socket(settings.api_host, settings.api_port) as bound:
        await wait_until_ready(settings, stop)
        if stop.is_set():
            return
        outages = Outages(report=_log)
        async with (
            wiring.event_log(settings, application="api", outages=outages, patience=_PATIENCE) as log,
            wiring.pool(settings, application="api", size=_READ_CONNECTIONS) as pool,
            # Of its own, so that it waits behind no request.
            OwnConnection(
                settings.database_url, application="jobledger api keys", reply_seconds=_KEYS_REPLY
            ) as keys_connection,
        ):
            keys = KeyRing(PostgresApiKeys(keys_connection))
            await _begin_with_keys(keys, settings, bound, stop, outages)
            if stop.is_set():
                return
            reader = PostgresJobReader(pool)

            def listen() -> AppendListener:
                return AppendListener(
                    settings.database_url, channel=APPENDED, application="jobledger api", outages=outages
                )

            ends = EndOfJobs(jobs=reader, ends=PostgresJobEnds(pool), listen=listen, outages=outages)
            follower = LogFollower(pages=PostgresEventPages(pool), listen=listen, outages=outages)
            health = PostgresHealthReader(pool, transitions=TRANSITIONS)
            requests = RequestMeasures()
            app = make_app(
                measures=requests,
                log=log,
                jobs=reader,
                lists=PostgresJobLister(pool),
                stats=PostgresStatsReader(pool),
                files=OutputFiles(settings.output_dir),
                ends=ends,
                follower=follower,
                progress=PostgresProgressBoard(pool),
                health=health,
                keys=keys,
                outages=outages,
                job_types=types,
                new_job_id=wiring.new_job_id,
                max_attempts=settings.max_attempts,
                max_body_bytes=settings.max_body_bytes,
                max_batch_bytes=settings.max_batch_bytes,
                max_requests_per_second=settings.max_requests_per_second,
                max_event_streams=settings.max_event_streams,
                max_lag=settings.ready_max_lag_seconds,
            )
            standing = PostgresStandingReader(pool)

            async def gather() -> list[Metric]:
                return [
                    *writer_metrics(log, pool, outages, uses=["PostgreSQL"]),
                    *families.requests(requests),
                    *families.standing(await standing_now(standing)),
                ]

            served = asyncio.Event()
            async with serving_metrics(settings, "api", gather), asyncio.TaskGroup() as group:
                group.create_task(_end_waits(ends, follower, stop))
                group.create_task(_look_again(log, health, outages=outages, stop=stop))
                # Until the last answer, not the stop: it may take longer than what is known of the keys is believed.
                group.create_task(_renew_keys(keys, stop=served, outages=outages))
                await serve(
                    app,
                    bound,
                    stop=stop,
                    grace=settings.shutdown_grace_seconds,
                    head_seconds=settings.request_head_seconds,
                    body_seconds=settings.request_body_seconds,
                )
                stop.set()
                served.set()


async def _begin_with_keys(
    keys: KeyRing, settings: Settings, bound: socket.socket, stop: asyncio.Event, outages: Outages
) -> None:
    """Read the keys for the first time, and say who is let in. Raises OpenToOthers."""
    read = asyncio.Event()

    async def renew() -> float:
        await keys.renew()
        read.set()
        return 0.0

    await unless_stopped(repeat(renew, what=READ_KEYS, stop=read, outages=outages), stop)
    if keys.open_to is not None:
        address = bound.getsockname()[0]
        check_open_access(settings, address)
        say = _log.info if is_loopback(address) else _log.warning
        say("the api is open: no key was made yet", see="jobledger keys create")


async def _renew_keys(keys: KeyRing, *, stop: asyncio.Event, outages: Outages) -> None:
    was_open = keys.open_to is not None

    async def renew() -> float:
        nonlocal was_open
        await keys.renew()
        if was_open and keys.open_to is None:
            was_open = False
            _log.info("the api needs keys from now on: the first one was made")
        return RENEW_SECONDS

    await repeat(renew, what=READ_KEYS, stop=stop, outages=outages)


async def _end_waits(ends: EndOfJobs, follower: LogFollower, stop: asyncio.Event) -> None:
    """Whoever waits for a job is answered before the server stops, and event streams come to their end."""
    await stop.wait()
    ends.close()
    follower.close()


async def _look_again(log: EventLog, health: HealthReader, *, outages: Outages, stop: asyncio.Event) -> None:
    """While something fails, try it again and again: the end of an outage is then noticed, and the log's connection made,
    before a request comes."""

    async def look_at_log() -> float:
        if outages.includes(WRITE_LOG):
            await log.append([])
        return _LOOK_AGAIN

    async def look_at_jobs() -> float:
        if outages.includes(READ_JOBS):
            await health.read()
        return _LOOK_AGAIN

    async with asyncio.TaskGroup() as group:
        group.create_task(repeat(look_at_log, what=WRITE_LOG, stop=stop, outages=outages))
        group.create_task(repeat(look_at_jobs, what=READ_JOBS, stop=stop, outages=outages))


async def serve(
    app: ASGIApp,
    bound: socket.socket,
    *,
    stop: asyncio.Event,
    grace: float,
    head_seconds: float,
    body_seconds: float,
) -> None:
    """Listen on `bound` and answer until `stop` is set; then answer what has been asked, for at most `grace` seconds.

    A request's head and body may take so many seconds to arrive.
    """
    host, port = bound.getsockname()[:2]
    with _as_setting_error(host, port):
        bound.listen(_BACKLOG)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(head_seconds=head_seconds, body_seconds=body_seconds),
        headers=[(name.decode(), value.decode()) for name, value in (NOSNIFF,)],
        ws="none",
        backlog=_BACKLOG,
        access_log=False,
        log_config=None,
        log_level="error",
        proxy_headers=False,  # nobody here asks for a client's address
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="serve http")
    stopped = asyncio.create_task(stop.wait(), name="wait for stop")
    _log.info("api ready", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        server.should_exit = True
        await serving
    _log.info("api stopped")


@contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to that address, not yet listening. Raises InvalidSetting if that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # else a restart waits for old connections to time out
        with _as_setting_error(host, port):
            bound.bind((host, port))
        yield bound


@contextmanager
def _as_setting_error(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise InvalidSetting(
                "API_PORT", str(port), f"another program listens on this port of {host}; stop it or choose another port"
            ) from exc
        if exc.errno == errno.EACCES:
            raise InvalidSetting("API_PORT", str(port), "this user may not open it; choose one above 1023") from exc
        raise InvalidSetting("API_HOST", host, f"cannot listen there: {exc.strerror or exc}") from exc


class _Server(uvicorn.Server):
    """uvicorn's server without signal handlers of its own: it would raise the signal again after its end, and so end the
    process before the log and the connections are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
