"""A PostgreSQL and a Valkey of a fault test's own: what is done to them is done to nobody else's.

They keep what they have committed over the death of their processes (not over that of the machine: nothing is flushed to the
disk, since no test cuts the power, and all of it is thrown away afterwards).
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psycopg
import redis
from msgspec.structs import replace

from adapters.embedded.postgres import prepare_postgres
from adapters.embedded.valkey import prepare_valkey
from adapters.postgres.migrate import migrate
from domain.job import TRANSITIONS
from tests.conftest import free_port
from tests.system.service import EmbeddedServer


class OwnPostgres(EmbeddedServer):
    """A context manager: it runs inside. `url` is of its one database, which is migrated when it was made.

    `wal`: where its write-ahead log is to lie, if not with its data; `environ`: what it gets of an environment beside its own.
    """

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] | None = None,
        wal: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        home.chmod(0o711)
        prepared = prepare_postgres(home, port=free_port())
        given = {"fsync": "off", "full_page_writes": "off", "max_connections": "120", **(settings or {})}
        options = tuple(part for name, value in given.items() for part in ("-c", f"{name}={value}"))
        # Not by the program's own environment: that is its launcher's too, which may be another user.
        beside = ("/usr/bin/env", *(f"{name}={value}" for name, value in environ.items())) if environ else ()
        program = replace(prepared.program, argv=(*beside, *prepared.program.argv, *options))
        super().__init__(program, prepared.is_ready)
        self.url = prepared.url
        self.data = home / "postgres"
        if wal is not None:
            shutil.move(self.data / "pg_wal", wal)
            _own_like(self.data, wal)
            (self.data / "pg_wal").symlink_to(wal)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def restart(self) -> None:
        """In immediate mode: sessions are cut off, and the start replays the log."""
        self.stop(signal.SIGQUIT)
        self.start()

    def connect(self) -> psycopg.Connection:
        """A connection of the test's own."""
        return psycopg.connect(self.url, autocommit=True)

    def terminate_backends(self, like: str = "jobledger%") -> int:
        """End the sessions whose application's name is like that; answers how many."""
        with self.connect() as db:
            rows = db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like %s and pid <> pg_backend_pid()",
                [like],
            ).fetchall()
        return len(rows)

    def terminate_some(self, dice: Random) -> None:
        """End one or two sessions of the service, drawn by `dice`."""
        with self.connect() as db:
            rows = db.execute("select pid from pg_stat_activity where application_name like 'jobledger%' order by pid")
            pids = [pid for (pid,) in rows.fetchall()]
            for pid in dice.sample(pids, min(len(pids), dice.randint(1, 2))):
                db.execute("select pg_terminate_backend(%s)", [pid])

    def copy_data(self, to: Path) -> None:
        """Copy its data while it does not run; `restore_data` brings this moment back."""
        shutil.copytree(self.data, to, symlinks=True)
        _own_like(self.data, to)

    def restore_data(self, copy: Path) -> None:
        """Put a copy in the place of its data, while it does not run."""
        shutil.rmtree(self.data)
        copy.rename(self.data)


class OwnValkey(EmbeddedServer):
    """A context manager: it runs inside. `keeps`: whether it writes through to its append-only file, as in production."""

    def __init__(self, home: Path, *, keeps: bool) -> None:
        home.mkdir(parents=True, exist_ok=True)
        prepared = prepare_valkey(home, port=free_port(), durable=keeps)
        super().__init__(prepared.program, prepared.is_ready)
        self.url = prepared.url
        self.port = prepared.port
        self.data = home / "valkey"

    def client(self) -> redis.Redis:
        """A client of the test's own."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def kill(self) -> None:
        """End it by SIGKILL: without persistence everything is gone, with it the last second at the most."""
        self.stop(signal.SIGKILL)

    def copy_data(self, to: Path) -> None:
        """Copy what it has on its disk."""
        shutil.copytree(self.data, to)

    def restore_data(self, copy: Path) -> None:
        """Put a copy in the place of its data, while it does not run."""
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)


@contextmanager
def own_postgres(
    home: Path, *, wal: Path | None = None, environ: Mapping[str, str] | None = None, **settings: str
) -> Iterator[OwnPostgres]:
    """One that runs, migrated."""
    with OwnPostgres(home, settings=settings, wal=wal, environ=environ) as server:
        asyncio.run(migrate(server.url, TRANSITIONS))
        yield server


@contextmanager
def own_valkey(home: Path, *, keeps: bool = False) -> Iterator[OwnValkey]:
    """One that runs, empty."""
    with OwnValkey(home, keeps=keeps) as server:
        yield server


def _own_like(model: Path, copy: Path) -> None:
    owner = model.stat()
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
