"""Real servers for the tests: each process of pytest has its own, for all of its tests; each test has a database of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from adapters.embedded.postgres import PostgresServer, prepare_postgres
from adapters.embedded.program import Program
from adapters.embedded.valkey import ValkeyServer, prepare_valkey
from adapters.postgres.migrate import migrate
from domain.job import TRANSITIONS

_START_SECONDS = 60.0  # a machine that is busy with other tests
_numbers = itertools.count(1)
_given_ports: set[int] = set()
_PORTS = range(10_000, 32_000)  # Linux takes those of connections from 32768 on, macOS from 49152


def pytest_configure() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and all that the tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """For files that start many processes whose code other files reach as well: without coverage they take a quarter less."""
    name = "COVERAGE_PROCESS_CONFIG"  # by which coverage begins in them
    config = os.environ.pop(name, None)
    yield
    if config is not None:
        os.environ[name] = config


class _Server(Protocol):
    @property
    def program(self) -> Program: ...

    def is_ready(self) -> bool: ...


_ServerT = TypeVar("_ServerT", bound=_Server)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A directory that every user can pass through, as PostgreSQL runs as another one when the tests run as root."""
    home = Path(tempfile.mkdtemp(prefix="jobledger-tests-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_home: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests of this process; it does not bother to reach the disk."""
    server = prepare_postgres(server_home, port=free_port(), durable=False)
    yield from _running(server, server_home)


@pytest.fixture(scope="session")
def valkey_server(server_home: Path) -> Iterator[ValkeyServer]:
    """A Valkey for all tests of this process, in memory alone."""
    server = prepare_valkey(server_home, port=free_port(), durable=False)
    yield from _running(server, server_home)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated database that nobody connects to: a copy of it takes milliseconds, migrating far longer."""
    name = "migrated"
    with _admin(postgres_server) as admin:
        admin.execute("create database migrated")
    asyncio.run(migrate(_url_of(postgres_server, name), TRANSITIONS))
    return name


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh database with nothing in it."""
    with _database(postgres_server, template="template0") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database, whose log has an id of its own."""
    with migrated_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def redis_url(valkey_server: ValkeyServer) -> str:
    """The URL of an empty Valkey, database 0: nothing of an earlier test is left, neither keys nor scripts."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
        client.script_flush()
    return valkey_server.url


@contextmanager
def migrated_database(server: PostgresServer, template: str) -> Iterator[str]:
    """What `postgres_url` gives, for fixtures that live longer than one test."""
    with _database(server, template=template) as url:
        with psycopg.connect(url) as connection:
            connection.execute("update log set id = gen_random_uuid()")
        yield url


def free_port() -> int:
    """A TCP port on the loopback address that nobody uses now, another one at each call.

    Outside the range that connections take theirs from, lest one of them lies there before the program that is to listen starts.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)  # not of a seed: other processes of tests choose too
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


def _running(server: _ServerT, home: Path) -> Iterator[_ServerT]:
    program = server.program
    output = home / f"{program.name}.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            program.command(),
            env=dict(program.environ),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.is_ready():
            assert process.poll() is None, f"{program.name} ended at once:\n{output.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"{program.name} is not ready:\n{output.read_text(errors='replace')}"
            time.sleep(0.02)
        yield server
    finally:
        process.send_signal(program.stops[0])
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _database(server: PostgresServer, *, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with _admin(server) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)))
    yield _url_of(server, name)
    with _admin(server) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _admin(server: PostgresServer) -> psycopg.Connection:
    return psycopg.connect(_url_of(server, "postgres"), autocommit=True)


def _url_of(server: PostgresServer, database: str) -> str:
    return urlunsplit(urlsplit(server.url)._replace(path=f"/{database}"))
