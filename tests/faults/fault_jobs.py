"""Job types whose every execution is written down, with the moment at which it began and ended: the judge sees what overlaps.

Copied into a directory of installed packages (see `install` in fault_job_site.py). TALLY names the file, one JSON line a fact.
Each execution also holds a lock that ends with it or with its process, whichever comes first: so an execution that overlaps one
that was killed is told from one that follows it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import jobledger

_MEMORY = 3 << 30  # bytes of address space that a process may have once it takes more and more


@contextmanager
def executed(context: jobledger.Context) -> Iterator[None]:
    """Write down that an execution begins (`alone`: no other one of its job goes on), and how it ends."""
    file = os.open(os.environ["TALLY"], os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        _tell(file, context, "begin", alone=_lock(file, context.job_id))
        try:
            yield
        except BaseException as exc:
            _tell(file, context, "stopped" if isinstance(exc, asyncio.CancelledError) else "error")
            raise
        _tell(file, context, "end")
    finally:
        os.close(file)


def _lock(file: int, job_id: str) -> bool:
    # One byte a job, far beyond the file's end. It belongs to this opening of the file (OFD), not to the process: two
    # executions in one process exclude each other, too.
    byte = UUID(job_id).int & (1 << 61) - 1 | 1 << 61
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
    except OSError:
        return False
    return True


def _tell(file: int, context: jobledger.Context, what: str, **further: object) -> None:
    fact = {
        "job": context.job_id,
        "attempt": context.attempt,
        "what": what,
        "pid": os.getpid(),
        "at": time.monotonic(),
        **further,
    }
    os.write(file, json.dumps(fact).encode() + b"\n")  # one write: lines of several processes do not mix


@jobledger.job_type("TALLIED")
async def tallied(payload: Any, context: jobledger.Context) -> str:
    """Does nothing else."""
    with executed(context):
        return "done"


@jobledger.job_type("TALLIED_FLAKY")
async def tallied_flaky(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Fails in its first `times` attempts."""
    with executed(context):
        if context.attempt <= payload["times"]:
            raise ValueError(f"attempt {context.attempt} fails")
        return "done"


@jobledger.job_type("TALLIED_SLOW")
async def tallied_slow(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Waits for `seconds` in the event loop."""
    with executed(context):
        await asyncio.sleep(payload["seconds"])
        return "done"


@jobledger.job_type("TALLIED_THREAD")
def tallied_thread(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Works for `seconds` in a thread, and stops when it is told to."""
    with executed(context):
        over = time.monotonic() + payload["seconds"]
        while time.monotonic() < over:
            if context.should_stop:
                raise RuntimeError("told to stop")
            time.sleep(0.01)
        return "done"


@jobledger.job_type("TALLIED_PROCESS", runs_in="process")
def tallied_process(payload: Any, context: jobledger.Context) -> str:
    """Runs in a process of its own."""
    with executed(context):
        return "done"


@jobledger.job_type("TALLIED_LATER")
async def tallied_later(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Asks to be tried again after `seconds`, once."""
    with executed(context):
        if context.attempt == 1:
            raise jobledger.RetryLater("not yet", seconds=payload["seconds"])
        return "done"


@jobledger.job_type("TALLIED_GATED")
async def tallied_gated(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Waits for the file `gate`, then ends; or fails, if it `fails`."""
    with executed(context):
        while not Path(payload["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - another process opens it
            await asyncio.sleep(0.02)
        if payload.get("fails"):
            raise ValueError("as it was told to")
        return "done"


@jobledger.job_type("TALLIED_BRIEF", timeout=1.0)
async def tallied_brief(payload: Any, context: jobledger.Context) -> str:
    """Has a second, and takes longer."""
    with executed(context):
        await asyncio.sleep(3600)
        return "done"


@jobledger.job_type("TALLIED_POISON")
async def tallied_poison(payload: dict[str, Any], context: jobledger.Context) -> str:
    """Takes the process that it runs in along, in its first `times` attempts: `how` is exit, segv or memory."""
    with executed(context):
        if context.attempt <= payload["times"]:
            _take_along(payload["how"])
        return "done"


def _take_along(how: str) -> None:
    if how == "exit":
        os._exit(1)
    if how == "segv":
        import ctypes

        ctypes.string_at(0)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    hoard = []
    while True:  # until the limit ends it
        hoard.append(bytearray(16 * 1024 * 1024))
