"""What the long-running processes have in common: an event loop, a stop by signal, and a schema to wait for."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
import uvloop

from adapters.postgres.migrate import wait_for_schema
from domain.job import TRANSITIONS
from entrypoints.settings import InvalidSetting, Settings

_log = structlog.get_logger(__name__)

# New objects that may be parts of cycles, before a search for cycles. Nothing here makes cycles by the job, but who decodes a
# thousand rows makes a thousand objects: with Python's own number, a tenth of a worker's CPU time went into these searches.
_COLLECT_AFTER = 50_000


def run_to_its_end(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in an event loop of its own. Raises what `main` raises, and nothing that another task does.

    An event loop ends when any of its tasks raises SystemExit or KeyboardInterrupt. In a worker such a task may be a job type's
    own, and whoever awaits it hears of it there: the loop must go on, or one sys.exit() costs all neighbours their attempts.
    """
    gc.freeze()  # what was imported stays
    gc.set_threshold(_COLLECT_AFTER, 50, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                loop.run_until_complete(task)
                return
            except (SystemExit, KeyboardInterrupt) as exc:
                # Without a handler of our own it may be a person's Ctrl-C.
                if task.done() or signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                    raise
                _log.warning("a task tried to end this process, which goes on", error=type(exc).__name__)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. What a stop means is the process's own business."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Do `work`, but end it when `stop` is set. Raises what it raises."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for running in (task, stopped):
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def wait_until_ready(settings: Settings, stop: asyncio.Event) -> None:
    """Return when the database's schema fits this release, or at `stop`. Raises InvalidSetting, SchemaMismatch."""
    if not settings.database_url:
        raise InvalidSetting(
            "DATABASE_URL", "", "must be set for this command (`jobledger up` starts a PostgreSQL of its own)"
        )
    await unless_stopped(wait_for_schema(settings.database_url, TRANSITIONS), stop)


def unique_name() -> str:
    """A name for this process that no other one has had: host, process id, and something random."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def host_of(name: str) -> str:
    """The host of the process that `unique_name` gave that name."""
    return name.rsplit("-", 2)[0]
