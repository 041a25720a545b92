"""`jobledger up`, as its user meets it: the real command with real servers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from adapters.embedded.other_user import run_as_for
from adapters.embedded.postgres import running_postgres_url
from adapters.embedded.program import Program
from tests.system.running_up import UP_SECONDS, Up, running_up, up_environ
from tests.until import until_now

_ROWS = {"data": [{"id": 1, "name": "Ada"}]}
_PROCESSES = {"postgres", "valkey", "mail-catcher", "api", "dispatcher", "worker", "projector"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that the gentle tests share."""
    home = tmp_path_factory.mktemp("it's up, größer")
    with running_up(up_environ(home), home) as up:
        yield up


def test_it_says_where_things_are_and_they_are_there(service: Up) -> None:
    said = service.until_up()
    assert said["api"] == service.api
    for place in (said["api"] + "/livez", said["openapi"], said["mail"]):
        with urllib.request.urlopen(place, timeout=30) as answer:
            assert answer.status == 200
    assert Path(said["exports"]).is_dir()
    assert Path(said["data"]).is_dir()
    until_now(lambda: set(service.children()) == _PROCESSES, saw=service.saw)
    assert service.stray == []


def test_the_command_that_it_says_to_try_first_works(service: Up) -> None:
    command = service.until_up()["try_first"]
    answer = subprocess.run(
        ["/bin/sh", "-c", command.replace("-i ", "-s ")], capture_output=True, text=True, check=True
    )
    job = service.until_completed(json.loads(answer.stdout)["jobId"])
    assert Path(job["result"]["filePath"]).read_bytes() == b"id,name\r\n1,Ada\r\n"


def test_its_processes_are_no_owner_of_its_database(service: Up) -> None:
    url = running_postgres_url(Path(service.until_up()["data"]))
    assert url is not None
    for process in service.children().values():
        with suppress(psutil.NoSuchProcess):
            assert url not in process.environ().values()
    with psycopg.connect(url) as db:
        seen = db.execute(
            "select distinct usename::text from pg_stat_activity where application_name like 'jobledger %'"
        ).fetchall()
    assert seen == [("jobledger_service",)]


def test_a_second_one_on_the_same_data_is_told_so_in_one_sentence(service: Up) -> None:
    second = _fails_to_start(up_environ(Path(service.until_up()["data"]).parent))
    assert second.startswith(f"jobledger: another `jobledger up` (process {service.process.pid}) uses ")


def test_a_process_that_is_killed_is_started_again(service: Up) -> None:
    before = service.children()["worker"]
    before.kill()
    until_now(lambda: service.children().get("worker", before) != before, within=UP_SECONDS, saw=service.saw)
    service.until_completed(service.post("CSV_EXPORT", _ROWS))
    (line,) = [line for line in service.lines if line.get("part") == "worker"]
    assert line["event"] == "a part ended and is started again"
    assert (line["level"], line["ended"], line["after_seconds"]) == ("warning", "killed by SIGKILL", 1.0)


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_a_server_that_is_killed_is_started_again_and_the_service_goes_on(service: Up, server: str) -> None:
    before = service.children()[server]
    before.kill()
    until_now(lambda: service.children().get(server, before) != before, within=UP_SECONDS, saw=service.saw)
    until_now(lambda: _answers(f"{service.api}/readyz"), within=UP_SECONDS, saw=service.saw)
    service.until_completed(service.post("CSV_EXPORT", _ROWS))


def test_it_stops_in_order_and_takes_up_its_data_again_also_after_it_was_killed(tmp_path: Path) -> None:
    environ = up_environ(tmp_path) | {"LIVENESS_SECONDS": "3"}  # the killed worker's job need not wait for long
    with running_up(environ, tmp_path) as up:
        first = up.post("CSV_EXPORT", _ROWS)
        up.until_completed(first)
        assert [line for line in up.lines if line["level"] not in ("debug", "info")] == []  # of a first start
        children = up.children()
        began = time.monotonic()
        assert up.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 20
    assert not any(child.is_running() for child in children.values())
    stops = [line["process"] for line in up.lines if line["event"].endswith(" stopped")]
    assert stops.index("api") < min(stops.index(name) for name in ("dispatcher", "worker", "projector"))
    assert up.lines[-1]["event"] == "stopped"

    with running_up(environ, tmp_path) as up:
        assert up.job(first)["status"] == "completed"
        children = up.children()
        second = up.post("CSV_EXPORT", _ROWS)
        up.process.kill()
        up.process.wait()
    until_now(lambda: not any(_runs(child) for child in children.values()), within=UP_SECONDS)

    with running_up(environ, tmp_path) as up:
        assert up.job(first)["status"] == "completed"
        up.until_completed(second)
        assert up.stop(signal.SIGINT) == 0


def test_in_a_terminal_it_prints_for_people_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environ = up_environ(tmp_path) | {"LOG_FORMAT": "auto"}
    become = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", become, sys.executable, "-m", "jobledger", "up"],
        env=environ,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen = _Screen(ours)
    try:
        screen.until("Ctrl-C stops it.")
        for text in ("API ", "OpenAPI page ", "/schema", "Mail ", "Exports ", "Try first:", "curl -i"):
            assert text in screen.text
        os.write(ours, b"\x03")
        assert screen.wait(process) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert re.search(r"info .*up.*stopping in order", screen.text)
    assert "Traceback" not in screen.text
    assert '{"' not in screen.text.split("Try first:")[0]


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    environ = up_environ(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environ["API_PORT"])))
        taken.listen()
        said = _fails_to_start(environ)
    assert said == (
        f"jobledger: port {environ['API_PORT']} on 127.0.0.1 is in use: stop what uses it, or set API_PORT\n"
    )


@pytest.mark.parametrize("setting", ["MAIL_PORT", "MAIL_UI_PORT"])
def test_the_ports_of_the_mail_catcher_are_looked_at_where_it_listens(tmp_path: Path, setting: str) -> None:
    environ = up_environ(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", int(environ[setting])))
        taken.listen()
        said = _fails_to_start(environ | {"MAIL_CATCHER_HOST": "127.0.0.2"})
    assert said == f"jobledger: port {environ[setting]} on 127.0.0.2 is in use: stop what uses it, or set {setting}\n"


def test_two_ports_that_are_the_same_are_one_sentence(tmp_path: Path) -> None:
    environ = up_environ(tmp_path)
    said = _fails_to_start(environ | {"MAIL_PORT": environ["API_PORT"]})
    assert said.startswith("jobledger: API_PORT and MAIL_PORT are both ")


def test_directories_that_cannot_be_made_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for setting in ("DATA_DIR", "OUTPUT_DIR"):
        said = _fails_to_start(up_environ(tmp_path) | {setting: str(tmp_path / "file" / "below")})
        assert said.startswith(f"jobledger: {setting} {tmp_path / 'file' / 'below'} cannot be ")


def test_a_database_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    environ = up_environ(tmp_path)
    said = _fails_to_start(environ | {"DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{environ['POSTGRES_PORT']}/d"})
    assert "the database cannot be reached" in said
    assert "secret" not in said


def test_servers_that_are_named_are_used_and_none_are_started(
    tmp_path: Path, empty_postgres_url: str, redis_url: str
) -> None:
    environ = up_environ(tmp_path) | {
        "DATABASE_URL": empty_postgres_url,
        "REDIS_URL": redis_url,
        "MAIL_HOST": "192.0.2.1",
    }
    with running_up(environ, tmp_path) as up:
        until_now(lambda: set(up.children()) == _PROCESSES - {"postgres", "valkey", "mail-catcher"}, saw=up.saw)
        assert up.until_up()["mail"] == "sent by 192.0.2.1"
        up.until_completed(up.post("CSV_EXPORT", _ROWS))
        assert up.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is no root runs all tests as an ordinary user")
def test_it_works_as_an_ordinary_user(tmp_path: Path) -> None:
    # This Python may lie where that user cannot look, hence the capability; it is no help in writing.
    home = tmp_path / "home"
    home.mkdir()
    run_as = run_as_for([Path(sys.executable), tmp_path], owned=home / "nothing")
    assert run_as is not None
    os.chown(home, run_as.uid, run_as.gid)
    environ = up_environ(home)
    program = Program(
        name="up", argv=(sys.executable, "-m", "jobledger", "up"), environ=environ, cwd=home, run_as=run_as
    )
    up = Up(environ, home, command=tuple(program.command()))
    try:
        up.until_up()
        assert {child.uids().real for child in up.children().values()} == {run_as.uid}
        up.until_completed(up.post("CSV_EXPORT", _ROWS))
    finally:
        assert up.stop() == 0


class _Screen:
    """What a terminal shows, read from its other side."""

    def __init__(self, terminal: int) -> None:
        self.text = ""
        self._terminal = terminal

    def until(self, text: str) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            self._read()

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + UP_SECONDS
        while process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read()
        self._read()
        return process.returncode

    def _read(self) -> None:
        ready, _, _ = select.select([self._terminal], [], [], 0.1)
        if ready:
            try:
                self.text += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # EIO: nobody has the terminal open any more
                time.sleep(0.01)


def _fails_to_start(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jobledger", "up"], env=environ, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
