"""The servers that all contenders share: one PostgreSQL and one Valkey, each run on a database and an empty Valkey of its own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from adapters.embedded.data_dir import held_data_dir
from adapters.embedded.postgres import prepare_postgres
from adapters.embedded.program import Program
from adapters.embedded.valkey import prepare_valkey
from benchmarks.processes import START_SECONDS, Child, until

# Beyond what `jobledger up` sets (fsync, synchronous_commit and full_page_writes on; Valkey: append-only file, everysec). What
# any production server has; so that no contender meets a checkpoint in the middle of a run that another one is spared.
POSTGRES_SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "256MB",
}

Groups = dict[str, list[int]]


class Servers(Struct, frozen=True):
    """Both servers, running."""

    postgres: Child
    valkey: Child
    admin_url: str
    redis_url: str

    @property
    def groups(self) -> Groups:
        """Their process groups, for a Meter."""
        return {"postgres": [self.postgres.pid], "valkey": [self.valkey.pid]}

    def url_of(self, database: str) -> str:
        """The URL of a database of that name."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{database}"))

    def has(self, database: str) -> bool:
        with connected(self.admin_url) as admin:
            found = admin.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        return found is not None

    def make_database(self, name: str, *, template: str = "template0", is_large: bool = False) -> str:
        """Make a database anew; gives its URL. `is_large`: the template's files are copied as such, and not by way of the WAL."""
        self.drop_database(name)
        strategy = sql.SQL("file_copy" if is_large else "wal_log")
        with connected(self.admin_url) as admin:
            admin.execute(
                sql.SQL("create database {} template {} strategy {}").format(
                    sql.Identifier(name), sql.Identifier(template), strategy
                )
            )
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        with connected(self.admin_url) as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def rename_database(self, name: str, new_name: str) -> None:
        with connected(self.admin_url) as admin:
            admin.execute(
                sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(new_name))
            )

    def settle(self) -> None:
        """An empty Valkey, and nothing that PostgreSQL still has to write from what was before."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        self.checkpoint()

    def checkpoint(self) -> None:
        with connected(self.admin_url) as admin:
            admin.execute("checkpoint")

    def versions(self) -> dict[str, str]:
        with connected(self.admin_url) as admin:
            [postgres] = admin.execute("show server_version").fetchone() or ["?"]
        with redis.Redis.from_url(self.redis_url) as client:
            info: dict[str, Any] = client.info("server")
        return {"PostgreSQL": postgres, "Valkey": str(info.get("valkey_version") or info.get("redis_version"))}


@contextmanager
def running_servers(home: Path, logs: Path) -> Iterator[Servers]:
    """Start both on data directories below `home`, which must be on a real disk, and stop them at the end."""
    with held_data_dir(home) as data_dir:
        postgres = prepare_postgres(data_dir, port=free_port())
        settings = [part for name, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")]
        program = replace(postgres.program, argv=(*postgres.program.argv, *settings))
        valkey_home = data_dir / "valkey"
        shutil.rmtree(valkey_home, ignore_errors=True)
        valkey = prepare_valkey(data_dir, port=free_port())
        children = []
        try:
            children = [_child(program, logs), _child(valkey.program, logs)]
            until(postgres.is_ready, what=f"PostgreSQL is ready: {children[0].said}", within=START_SECONDS)
            until(valkey.is_ready, what=f"Valkey is ready: {children[1].said}", within=START_SECONDS)
            admin_url = urlunsplit(urlsplit(postgres.url)._replace(path="/postgres"))
            yield Servers(children[0], children[1], admin_url, valkey.url)
        finally:
            for child, stops in zip(children, (program.stops, valkey.program.stops), strict=False):
                child.stop(*stops)


def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """An autocommit connection of a superuser."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=0)


def free_port() -> int:
    """A TCP port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _child(program: Program, logs: Path) -> Child:
    return Child(program.name, program.command(), environ=program.environ, cwd=program.cwd, logs=logs)
