"""`jobledger up`: the whole service on one machine, in the foreground, under one supervisor."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import structlog
from msgspec.structs import replace

from adapters.embedded.data_dir import held_data_dir
from adapters.embedded.ports import check_port_is_free
from adapters.embedded.postgres import prepare_postgres
from adapters.embedded.program import CannotStart, Line, Program
from adapters.embedded.valkey import prepare_valkey
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.migrate import migrate
from adapters.postgres.own_connection import OwnConnection
from domain.job import TRANSITIONS
from entrypoints.metrics import free_metrics_ports
from entrypoints.open_access import addresses_of, check_open_access
from entrypoints.settings import Settings, environment_of
from entrypoints.supervisor import Part, Supervised, stop_in_order
from entrypoints.where_things_are import say_where_things_are

_SERVER_START_SECONDS = 300.0  # PostgreSQL may have to replay its log after a crash, Valkey to load its file
_SERVER_PATIENCE_SECONDS = 30.0  # a fast shutdown writes all dirty pages first
_SERVER_HURRY_SECONDS = 5.0
_BEYOND_GRACE_SECONDS = 5.0  # what a process needs to end beside the grace that it gives its jobs
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

HAD_TO_KILL = 3  # exit code

log = structlog.get_logger()


async def run(settings: Settings) -> int:
    """Start everything, keep it running until SIGTERM or SIGINT, stop it in order.

    Answers the exit code: 0, or 3 if a part did not stop and was killed. Raises CannotStart, with all of it stopped again.
    """
    stop, hurry = _listen_for_signals()
    with held_data_dir(settings.data_dir) as data_dir:
        service = _Service(replace(settings, data_dir=data_dir, output_dir=_made(settings.output_dir)), hurry=hurry)
        starting = asyncio.create_task(service.start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting  # raises what kept it from starting
                await stop.wait()
        finally:
            starting.cancel()
            stopping.cancel()
            await stop_in_order(reversed(service.stages))
        log.info("stopped")
        killed = any(part.had_to_be_killed for stage in service.stages for part in stage)
        return HAD_TO_KILL if killed and not hurry.is_set() else 0


class _Service:
    """What has been started so far, in the order in which it was: stages, each stopped together and last first."""

    def __init__(self, settings: Settings, *, hurry: asyncio.Event) -> None:
        self.stages: list[list[Supervised]] = []
        self._settings = settings
        self._hurry = hurry

    async def start(self) -> None:
        """Start the servers, migrate, start the processes; returns when the API answers."""
        catches_mail = self._settings.mail_host in _LOOPBACK | {self._settings.mail_catcher_host}
        _check_ports(self._settings, catches_mail=catches_mail)
        await self._start_servers()
        self._settings = replace(self._settings, metrics_port=free_metrics_ports(self._settings))
        await self._migrate()
        await _check_access(self._settings)
        if catches_mail:
            self._start(self._process("mail-catcher"))
        self._start(*(self._process(name) for name in ("dispatcher", "worker", "projector")))
        (api,) = self._start(self._process("api"))
        await api.is_up()
        say_where_things_are(self._settings, catches_mail=catches_mail, output=sys.stdout)

    async def _start_servers(self) -> None:
        settings = self._settings
        started = []
        if not settings.database_url:
            postgres = prepare_postgres(settings.data_dir, port=settings.postgres_port)
            check_port_is_free("POSTGRES_PORT", "127.0.0.1", settings.postgres_port)
            started += self._start(_server(postgres.program, postgres.is_ready, postgres.read_line))
            settings = replace(settings, database_url=postgres.service_url, database_owner_url=postgres.url)
        if not settings.redis_url:
            valkey = prepare_valkey(settings.data_dir, port=settings.redis_port)
            check_port_is_free("REDIS_PORT", "127.0.0.1", settings.redis_port)
            started += self._start(_server(valkey.program, valkey.is_ready, valkey.read_line))
            settings = replace(settings, redis_url=valkey.url)
        for server in started:
            await server.ready(within=_SERVER_START_SECONDS)
        self._settings = settings

    async def _migrate(self) -> None:
        url, owner_url = self._settings.database_url, self._settings.database_owner_url
        applied = await migrate(owner_url or url, TRANSITIONS, service_url=url if owner_url else None)
        if applied:
            log.info("schema migrated", migrations=applied)
        self._settings = replace(self._settings, database_owner_url="")  # none of the processes needs it

    def _start(self, *parts: Part) -> list[Supervised]:
        stage = [Supervised(part, hurry=self._hurry) for part in parts]
        self.stages.append(stage)
        for part in stage:
            part.start()
        return stage

    def _process(self, name: str) -> Part:
        return Part(
            program=Program(
                name=name,
                # -P: a directory `domain` or `sql` where the user happens to stand must not be taken for ours.
                argv=(sys.executable, "-P", "-m", "jobledger", name),
                environ=environment_of(self._settings),
                cwd=Path.cwd(),
            ),
            patience=self._settings.shutdown_grace_seconds + _BEYOND_GRACE_SECONDS,
            is_ready=self._api_answers if name == "api" else None,
        )

    def _api_answers(self) -> bool:
        url = f"http://{self._settings.api_host}:{self._settings.api_port}/livez"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


def _server(program: Program, is_ready: Callable[[], bool], read_line: Callable[[str], Line]) -> Part:
    return Part(
        program=program,
        patience=_SERVER_PATIENCE_SECONDS,
        patience_in_hurry=_SERVER_HURRY_SECONDS,
        is_ready=is_ready,
        read_line=read_line,
    )


async def _check_access(settings: Settings) -> None:
    """As the API itself does; but it would be started again and again. Raises OpenToOthers, Unavailable."""
    async with OwnConnection(settings.database_url, application="jobledger up") as database:
        if not await PostgresApiKeys(database).all():
            for address in addresses_of(settings.api_host):
                check_open_access(settings, address)


def _check_ports(settings: Settings, *, catches_mail: bool) -> None:
    wanted = {"API_PORT": (settings.api_host, settings.api_port)}
    if catches_mail:
        wanted["MAIL_PORT"] = (settings.mail_catcher_host, settings.mail_port)
        wanted["MAIL_UI_PORT"] = (settings.mail_catcher_host, settings.mail_ui_port)
    if not settings.database_url:
        wanted["POSTGRES_PORT"] = ("127.0.0.1", settings.postgres_port)
    if not settings.redis_url:
        wanted["REDIS_PORT"] = ("127.0.0.1", settings.redis_port)
    owners: dict[int, str] = {}
    for setting, (_host, port) in wanted.items():
        if port in owners:
            raise CannotStart(f"{owners[port]} and {setting} are both {port}: give each a port of its own")
        owners[port] = setting
    for setting, (host, port) in wanted.items():
        # The servers' own come later: one that a killed supervisor left behind is stopped first.
        if setting not in {"POSTGRES_PORT", "REDIS_PORT"}:
            check_port_is_free(setting, host, port)


def _made(output_dir: Path) -> Path:
    output_dir = output_dir.absolute()
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CannotStart(f"OUTPUT_DIR {output_dir} cannot be made: {exc.strerror} ({exc.filename})") from exc
    return output_dir


def _listen_for_signals() -> tuple[asyncio.Event, asyncio.Event]:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def hear() -> None:
        if stop.is_set():
            hurry.set()
            log.info("stopping at once")
        else:
            stop.set()
            log.info("stopping in order; a second signal makes it quick")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, hear)
    return stop, hurry
