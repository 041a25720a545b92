"""The command `jobledger`: one subcommand a process. What a subcommand needs is imported when it is called."""

from __future__ import annotations

import asyncio
import errno
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import structlog
from cyclopts import App, CycloptsError
from rich.console import Console

from domain.errors import JobledgerError
from entrypoints.command_frame import CANNOT, WRONG_USAGE, complain
from entrypoints.settings import Settings, read_settings

app = App(
    name="jobledger",
    help="The job service with a memory: jobs come in over HTTP, and everything that happens to them is kept.",
    help_epilogue="Settings come from the environment and from .env. Begin with: `jobledger up`",
    version=lambda: importlib.metadata.version("jobledger"),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    help_on_error=False,
)


# The commands that have a module of their own: a function (or an app of several) of the command's name, and its EPILOGUE.
_MODULES = {
    "doctor": "entrypoints.doctor_command",
    "health": "entrypoints.health_check",
    "history": "entrypoints.history_command",
    "replay": "entrypoints.replay_command",
    "rebuild": "entrypoints.rebuild_command",
    "verify": "entrypoints.verify_command",
    "submit": "entrypoints.submit_command",
    "retry": "entrypoints.retry_command",
    "status": "entrypoints.status_command",
    "tail": "entrypoints.tail_command",
    "keys": "entrypoints.keys_command",
}


@app.command(help_epilogue="Example: `API_PORT=8080 DATA_DIR=/srv/jobledger jobledger up`")
def up() -> int:
    """Run the whole service in the foreground: servers, mail catcher and all processes.

    PostgreSQL and Valkey come from their wheels and keep their data in DATA_DIR; where DATABASE_URL or REDIS_URL is set,
    that server is used instead. Ctrl-C stops everything in order; a second one makes it quick.

    Exit codes: 0 stopped as asked; 1 could not start; 3 something did not stop and was killed.
    """
    from entrypoints.up import run

    return asyncio.run(run(_begin("up")))


@app.command(help_epilogue="Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db API_PORT=8080 jobledger api`")
def api() -> None:
    """Run the API: it takes jobs over HTTP and answers questions about them. Needs PostgreSQL alone."""
    _run_process("api", "entrypoints.api.server")


@app.command(
    help_epilogue="Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db REDIS_URL=redis://redis jobledger dispatcher`"
)
def dispatcher() -> None:
    """Run a dispatcher: it brings queued jobs to Redis, wakes those whose time has come, closes what dead workers left."""
    _run_process("dispatcher", "entrypoints.dispatcher")


@app.command(
    help_epilogue="Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db REDIS_URL=redis://redis"
    " WORKER_CONCURRENCY=20 jobledger worker`"
)
def worker() -> None:
    """Run a worker: it claims jobs, runs them and records what became of them. Run as many as you like."""
    _run_process("worker", "entrypoints.worker")


@app.command(help_epilogue="Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db jobledger projector`")
def projector() -> None:
    """Run a projector: it keeps the table `jobs`, which queries read, in step with the log."""
    _run_process("projector", "entrypoints.projector")


@app.command(help_epilogue="Example: `MAIL_PORT=1025 MAIL_UI_PORT=8025 jobledger mail-catcher`")
def mail_catcher() -> None:
    """Run the mail catcher: it takes mail over SMTP, delivers none of it, and shows it on a page. For development."""
    _run_process("mail-catcher", "entrypoints.mail_catcher")


@app.command(help_epilogue="Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db jobledger migrate`")
def migrate() -> None:
    """Bring the database's schema to this release's. Forward only; may be run at any time, and by several at once.

    With DATABASE_OWNER_URL it does so as the owner, and gives the role of DATABASE_URL what the processes need and no more.
    """
    from adapters.postgres.migrate import migrate as migrate_schema
    from domain.job import TRANSITIONS

    settings = _begin("migrate")
    if not settings.database_url:
        raise NothingToMigrate(
            "DATABASE_URL is not set: it says which database to migrate (`jobledger up` migrates its own)"
        )
    owner = settings.database_owner_url
    applied = asyncio.run(
        migrate_schema(
            owner or settings.database_url, TRANSITIONS, service_url=settings.database_url if owner else None
        )
    )
    for name in applied:
        sys.stdout.write(f"applied {name}\n")
    if not applied:
        sys.stdout.write("the schema is up to date\n")


class NothingToMigrate(JobledgerError):
    """`jobledger migrate` was not told where."""

    code = "nothing_to_migrate"


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 if it cannot be done (one sentence says why), 2 for wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    _add_commands(argv[0] if argv else "")
    try:
        code = app(argv, error_console=Console(stderr=True))
    except CycloptsError as exc:
        complain(f"{exc} (see: jobledger --help)")
        code = WRONG_USAGE
    except JobledgerError as exc:
        complain(str(exc))
        code = CANNOT
    except OSError as exc:
        if exc.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
            raise
        complain(str(exc))
        code = CANNOT
    sys.exit(code or 0)


def whole_app() -> App:
    """The command line with all its commands."""
    _add_commands("")
    return app


def _add_commands(wanted: str) -> None:
    """Add those that `wanted`, the first word of a command line, may mean: no process is to pay for all the others."""
    is_there = wanted in app and not wanted.startswith("-")
    for name in [wanted] if wanted in _MODULES else [] if is_there else list(_MODULES):
        if name not in app:
            module = importlib.import_module(_MODULES[name])
            app.command(getattr(module, name), **_epilogue_of(module))


def _epilogue_of(module: ModuleType) -> dict[str, str]:
    return {"help_epilogue": module.EPILOGUE} if hasattr(module, "EPILOGUE") else {}


def _begin(process: str) -> Settings:
    from entrypoints.logs import set_up_logs

    settings = read_settings()
    set_up_logs(process, settings)
    return settings


def _run_process(name: str, module: str) -> None:
    from entrypoints.process import run_to_its_end

    settings = _begin(name)
    try:
        run: Callable[[Settings], Coroutine[Any, Any, None]] = importlib.import_module(module).run
        run_to_its_end(run(settings))
    except (JobledgerError, OSError):
        raise
    except Exception:  # noqa: BLE001 - the last frame of the process
        # Into the log like everything else, and not as bare lines that no reader of JSON lines understands.
        structlog.get_logger().exception("ended by an error that was not foreseen")
        sys.exit(CANNOT)
