"""The program behind forking.py: it has imported what every process of jobledger imports, and becomes one in each child.

It keeps to one thread, no loop and no connection, so that a child begins as a fresh process does, only later. Useless by hand:
its argument is the descriptor of the socket on which requests come. It ends when nobody holds the other end any more, and what
still runs of its children is killed then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

import coverage

# What the processes and commands import sooner or later. The tests of their own starting run fresh ones.
_MODULES = (
    *("entrypoints.console", "entrypoints.cli", "entrypoints.process", "entrypoints.api.server", "entrypoints.worker"),
    *("entrypoints.dispatcher", "entrypoints.projector", "entrypoints.kill_points", "adapters.postgres.migrate"),
    *("uvloop", "encodings.idna"),
)
_LENGTH_BYTES = 8  # before each request
_DESCRIPTORS = 3  # with each request: of its report, its standard output and its error output


def main() -> None:
    """Serve; in a child, which comes back from `serve`, be `python -m MODULE`, with the end that Python gives it."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in _MODULES:
        importlib.import_module(name)
    cli = importlib.import_module("entrypoints.cli")
    for name in cli._MODULES.values():  # not through the app: a child adds the one command that it runs
        importlib.import_module(name)
    if (measuring := coverage.Coverage.current()) is not None:  # of the imports; each child measures itself
        measuring.stop()
        measuring.save()
        measuring._auto_save = False  # no child is to save it again
    assert threading.active_count() == 1
    gc.freeze()  # a collection in a child would copy the pages of all that was imported
    module = serve(requests)
    if module is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def serve(requests: socket.socket) -> str | None:
    """Fork a child for each request and report the end of each. In a child, set up: the module to run; None: nobody asks now."""
    ended, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests, which end us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # coverage had its own
    reports: dict[int, int] = {}  # of each child
    while True:
        ready, _, _ = select.select([requests, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            _report_ends(reports)
        if requests not in ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(requests, _LENGTH_BYTES, _DESCRIPTORS)
        body = _read(requests, int.from_bytes(head)) if head else b""
        if not body:
            for pid in reports:
                os.kill(pid, signal.SIGKILL)
            _report_ends(reports, of_all=True)
            return None
        request: dict[str, Any] = json.loads(body)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for ours in (requests, ended, wakes):
                ours.close()
            for descriptor in reports.values():
                os.close(descriptor)
            _become(request, *descriptors)
            module: str = request["module"]
            return module
        reports[pid] = descriptors[0]
        for descriptor in descriptors[1:]:
            os.close(descriptor)


def _read(requests: socket.socket, length: int) -> bytes:
    """So many bytes; none if the other end has gone by then."""
    body = b""
    while len(body) < length:
        more = requests.recv(length - len(body))
        if not more:
            return b""
        body += more
    return body


def _report_ends(reports: dict[int, int], *, of_all: bool = False) -> None:
    while reports:
        pid, status = os.waitpid(-1, 0 if of_all else os.WNOHANG)
        if pid == 0:
            return
        report = reports.pop(pid)
        with suppress(BrokenPipeError):  # nobody wants to know
            os.write(report, b"ended %d\n" % os.waitstatus_to_exitcode(status))
        os.close(report)


def _become(request: dict[str, Any], report: int, output: int, errors: int) -> None:
    """Make of this child what a fresh process is; then say that it runs. (Python seeds `random` anew in every child.)"""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.close(output)
    os.close(errors)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv[1:] = request["argv"]
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    coverage.process_startup(force=True)  # if the environment asks for it
    os.write(report, b"pid %d\n" % os.getpid())
    os.close(report)


if __name__ == "__main__":
    main()
