"""Starts processes for tests, of jobledger above all, without the price of a start: a short one does little but import.

    process = start_module("jobledger", "worker", environ=…, cwd=…, stdout=subprocess.PIPE)

A fork server (fork_server.py), one for each process of pytest, has imported everything and forks one child for each start. A
child is as a fresh process is: its environment, directory, signals, output and end are its own, coverage measures it if the
environment says so. What the interpreter or the loader would read at a start cannot be given to a child; where the environment
says other than ours there, and where PYTHONPATH leads to another jobledger, a fresh process is started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

_READ_AT_THE_START = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "TZ", "OPENSSL_", "SSL_", "UV_")
_ENVIRON = dict(os.environ)  # before a test changes it: the fork server's
_OUR_PACKAGES = ("jobledger", "entrypoints", "adapters", "commands", "projections", "domain", "sql")


class Forked:
    """A child of the fork server, as far as it is used like a subprocess.Popen, which see for its members."""

    def __init__(self, pid: int, report: IO[bytes], stdout: IO[bytes] | None, stderr: IO[bytes] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._report = report
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended_within(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.returncode is None:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self._report], [], [], left)
            if not ready:
                return None
            with self._lock:  # of several threads that wait, the first one reads
                if self.returncode is None:
                    with self._report:
                        self.returncode = _code_in(self._report.readline())
        return self.returncode


StartedModule = subprocess.Popen[bytes] | Forked


def start_module(
    module: str,
    *argv: str,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    start_new_session: bool = False,
    fresh: bool = False,
) -> StartedModule:
    """Start `python -P -m MODULE ARGV`, with an empty input. Its outputs are as for subprocess.Popen.

    `fresh`: without the fork server, whatever the environment says.
    """
    if fresh or _must_be_fresh(environ):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *argv],
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=start_new_session,
        )
    request = {
        "module": module,
        "argv": argv,
        "environ": dict(environ),
        "cwd": str(cwd or Path.cwd()),
        "new_session": start_new_session,
    }
    return _the_server().fork(request, stdout, stderr)


def run_module(
    module: str,
    *argv: str,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run `python -P -m MODULE ARGV` to its end, with an empty input. `stderr` may be subprocess.STDOUT."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        apart = stderr == subprocess.PIPE
        process = start_module(
            module, *argv, environ=environ, cwd=cwd, stdout=output, stderr=errors if apart else subprocess.STDOUT
        )
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(
            argv, code, output.read().decode(), errors.read().decode() if apart else None
        )


class ForkServer:
    """One that runs, until `end` or the end of this process."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.fork_server", str(theirs.fileno())],
                env={name: value for name, value in _ENVIRON.items() if name != "PYTHONPATH"},
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def fork(
        self, request: Mapping[str, object], stdout: int | IO[bytes] | None, stderr: int | IO[bytes] | None
    ) -> Forked:
        """Start a child; it runs when this returns. Raises ForkServerEnded, and OSError for a directory that is not there."""
        body = json.dumps(request).encode()
        with ExitStack() as ours, ExitStack() as theirs:
            report, passed = _pipe(ours, theirs, buffering=0)  # `select` knows of no buffer
            descriptors = [passed]
            outputs: list[IO[bytes] | None] = [None, None]
            for number, wanted in enumerate((stdout, stderr)):
                if wanted == subprocess.PIPE:
                    outputs[number], passed = _pipe(ours, theirs)
                elif wanted == subprocess.DEVNULL:
                    passed = theirs.enter_context(Path(os.devnull).open("wb")).fileno()
                elif wanted == subprocess.STDOUT:
                    passed = descriptors[1]
                else:
                    passed = number + 1 if wanted is None else wanted if isinstance(wanted, int) else wanted.fileno()
                descriptors.append(passed)
            try:
                with self._lock:
                    socket.send_fds(self._requests, [len(body).to_bytes(8)], descriptors)
                    self._requests.sendall(body)
            except OSError as exc:
                raise ForkServerEnded from exc
            theirs.close()
            said = report.readline()
            if not said.startswith(b"pid "):
                raise OSError(f"the process could not be set up: {_code_in(said)}")
            ours.pop_all()
            return Forked(int(said.split()[1]), report, *outputs)

    def end(self) -> None:
        """End it, and what still runs of its children."""
        self._requests.close()
        self._popen.wait()


class ForkServerEnded(Exception):
    """The fork server was killed, and nobody knows what became of its children."""


def _code_in(said: bytes) -> int:
    if not said:
        raise ForkServerEnded
    return int(said.removeprefix(b"ended "))


def _pipe(ours: ExitStack, theirs: ExitStack, *, buffering: int = -1) -> tuple[IO[bytes], int]:
    reading, writing = os.pipe()
    theirs.callback(os.close, writing)
    return ours.enter_context(os.fdopen(reading, "rb", buffering)), writing


_servers: list[ForkServer] = []
_starting = threading.Lock()


def _the_server() -> ForkServer:
    with _starting:
        if not _servers:
            _servers.append(ForkServer())
        return _servers[0]


def _must_be_fresh(environ: Mapping[str, str]) -> bool:
    def at_the_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(_READ_AT_THE_START) and name != "PYTHONPATH"
        }

    entries = [Path(entry) for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    holds_ours = any((entry / package).exists() for entry in entries for package in _OUR_PACKAGES)
    return holds_ours or at_the_start(environ) != at_the_start(_ENVIRON)
