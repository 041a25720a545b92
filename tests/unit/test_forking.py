"""What the fork server starts is like a fresh process in all that a program can see, and ends like one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from coverage import CoverageData

from tests.forking import Forked, ForkServer, ForkServerEnded, run_module, start_module

WITHIN = 60.0

_PROBE = """
import asyncio, gc, json, os, random, signal, sys, threading
dispositions = {number.name: str(signal.getsignal(number)) for number in signal.valid_signals() if hasattr(number, "name")}
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "environ": dict(os.environ), "path": sys.path, "main": __spec__.name,
    "dispositions": {name: said.split(" of ")[0] for name, said in dispositions.items()},
    "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "wakeup": signal.set_wakeup_fd(-1), "descriptors": sorted(os.listdir("/dev/fd")), "input": sys.stdin.read(),
    "umask": os.umask(0), "threads": threading.active_count(), "leads": os.getsid(0) == os.getpid(), "nice": os.nice(0),
    "encodings": [sys.stdout.encoding, sys.stderr.encoding], "warnings": [str(one) for one in __import__("warnings").filters],
}))
if "random" in sys.argv:
    print(random.random())
"""
_ENDS = """
import atexit, os, sys, threading, time
atexit.register(print, "at exit")
print("said")
print("complained", file=sys.stderr)
match sys.argv[1]:
    case "thread": threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    case "raise": raise ValueError("mine")
    case "interrupt": raise KeyboardInterrupt
    case "sleep": time.sleep(600)
    case "at once": os._exit(7)
    case code: sys.exit(int(code))
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """One in which the modules `probe` and `ends` are found."""
    (tmp_path / "probe.py").write_text(_PROBE)
    (tmp_path / "ends.py").write_text(_ENDS)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "OF_THIS_TEST": "é\udcff"}


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer()
    yield made
    made.end()


def fresh(module: str, *argv: str, environ: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *argv],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def sleeping(server: ForkServer, environ: dict[str, str]) -> Forked:
    """A child that runs for long; it has just begun."""
    request = {"module": "ends", "argv": ["sleep"], "environ": environ, "cwd": environ["PYTHONPATH"]}
    return server.fork({**request, "new_session": False}, subprocess.DEVNULL, subprocess.DEVNULL)


def test_a_child_finds_what_a_fresh_process_finds(environ: dict[str, str], tmp_path: Path) -> None:
    wanted: dict[str, Any] = json.loads(fresh("probe", "one", "two words", environ=environ, cwd=tmp_path).stdout)
    found = json.loads(run_module("probe", "one", "two words", environ=environ, cwd=tmp_path).stdout)
    assert found == wanted
    assert found["environ"]["OF_THIS_TEST"] == "é\udcff"


def test_children_draw_other_random_numbers(environ: dict[str, str], tmp_path: Path) -> None:
    drawn = {run_module("probe", "random", environ=environ, cwd=tmp_path).stdout.splitlines()[1] for _ in range(3)}
    assert len(drawn) == 3


@pytest.mark.parametrize("how", ["0", "3", "thread", "raise", "interrupt", "at once"])
def test_a_child_ends_as_a_fresh_process_does(environ: dict[str, str], tmp_path: Path, how: str) -> None:
    wanted = fresh("ends", how, environ=environ, cwd=tmp_path)
    found = run_module("ends", how, environ=environ, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (wanted.returncode, wanted.stdout)
    assert found.stderr.splitlines()[:1] == wanted.stderr.splitlines()[:1]
    assert found.stderr.splitlines()[-1:] == wanted.stderr.splitlines()[-1:]


def test_both_outputs_may_be_one(environ: dict[str, str], tmp_path: Path) -> None:
    found = run_module("ends", "0", environ=environ, cwd=tmp_path, stderr=subprocess.STDOUT)
    assert sorted(found.stdout.splitlines()) == ["at exit", "complained", "said"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_that_a_signal_ends_is_reported_so(
    server: ForkServer, environ: dict[str, str], number: signal.Signals
) -> None:
    child = sleeping(server, environ)
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    if number == signal.SIGINT:
        time.sleep(0.3)  # until it sleeps: Python ends by the signal when its main program hears of it
    child.send_signal(number)
    assert child.wait(WITHIN) == -number
    assert (child.poll(), child.returncode) == (-number, -number)
    child.kill()  # nobody has its id any more
    assert not psutil.pid_exists(child.pid)


def test_a_pipe_is_at_its_end_when_the_child_is(environ: dict[str, str], tmp_path: Path) -> None:
    others = [start_module("ends", "sleep", environ=environ, stdout=subprocess.PIPE) for _ in range(2)]
    child = start_module("ends", "0", environ=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    later = start_module("ends", "sleep", environ=environ, stdout=subprocess.DEVNULL)
    assert child.stdout is not None
    with child.stdout:
        assert sorted(child.stdout.read().split(b"\n")) == [b"", b"at exit", b"complained", b"said"]
    assert child.wait(WITHIN) == 0
    for other in (*others, later):
        other.kill()
        other.wait(WITHIN)
        if other.stdout is not None:
            other.stdout.close()


def test_a_child_may_have_a_session_of_its_own(environ: dict[str, str], tmp_path: Path) -> None:
    child = start_module("ends", "sleep", environ=environ, cwd=tmp_path, start_new_session=True)
    assert os.getsid(child.pid) == child.pid
    child.kill()
    child.wait(WITHIN)


def test_a_directory_that_is_not_there_is_an_error(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="set up"):
        run_module("ends", "0", environ=environ, cwd=tmp_path / "nowhere")


def test_the_end_of_the_server_ends_its_children(environ: dict[str, str]) -> None:
    server = ForkServer()
    child = sleeping(server, environ)
    server.end()
    assert child.wait(0) == -signal.SIGKILL


def test_a_server_that_was_killed_is_told_of(environ: dict[str, str]) -> None:
    server = ForkServer()
    child = sleeping(server, environ)
    os.kill(server.pid, signal.SIGKILL)
    server.end()
    with pytest.raises(ForkServerEnded):
        child.wait(WITHIN)
    with pytest.raises(ForkServerEnded):
        sleeping(server, environ)
    os.kill(child.pid, signal.SIGKILL)


def test_coverage_measures_a_child_to_its_end(environ: dict[str, str], tmp_path: Path) -> None:
    settings = tmp_path / "coveragerc"
    settings.write_text(f"[run]\nparallel = true\nsource = {tmp_path}\ndata_file = {tmp_path / 'measured'}\n")
    given = {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}
    assert run_module("ends", "3", environ=given | {"COVERAGE_PROCESS_START": str(settings)}).returncode == 3
    [file] = tmp_path.glob("measured.*")
    data = CoverageData(str(file))
    data.read()
    assert set(data.lines(str(tmp_path / "ends.py")) or ()) >= {2, 3, 4, 5, 6, 12}


@pytest.mark.parametrize("difference", [{"PYTHONUTF8": "1"}, {"LD_PRELOAD": ""}, {"TZ": "Asia/Tokyo"}])
def test_what_is_read_at_a_start_alone_takes_a_fresh_process(
    environ: dict[str, str], tmp_path: Path, difference: dict[str, str]
) -> None:
    child = start_module("ends", "0", environ=environ | difference, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert isinstance(child, subprocess.Popen)
    assert child.wait(WITHIN) == 0


def test_another_jobledger_takes_a_fresh_process(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "entrypoints").mkdir()
    child = start_module("ends", "0", environ=environ, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert isinstance(child, subprocess.Popen)
    assert child.wait(WITHIN) == 0


def test_what_is_measured_may_ask_for_a_fresh_process(environ: dict[str, str], tmp_path: Path) -> None:
    child = start_module("ends", "0", environ=environ, cwd=tmp_path, stdout=subprocess.DEVNULL, fresh=True)
    assert isinstance(child, subprocess.Popen)
    assert child.wait(WITHIN) == 0
