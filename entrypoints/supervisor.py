"""Keeps child processes running: starts them again when they die, with a growing pause, and stops them when asked to.

It knows nothing of what they are. Each child is in a session of its own, so that Ctrl-C reaches only the supervisor, which
then stops them in order; and it ends when the supervisor is killed (see adapters.embedded.launch).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog
from msgspec import Struct

from adapters.embedded.program import CannotStart, Line, Program

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)  # a person who repairs something waits no longer than that
RAN_WELL = timedelta(seconds=30)  # who lives for so long has started well: its next death begins at the first pause
_LOOK_SECONDS = 0.05  # between two questions whether a part is ready
_LAST_WORDS_SECONDS = 2.0  # for output that a dead part's remains still hold back

log = structlog.get_logger()


class Part(Struct, frozen=True, kw_only=True):
    """A program and how to treat it.

    `is_ready` may block (it is asked in a thread). `read_line` makes log lines of its output; without it, what it writes
    goes where the supervisor's output goes. `patience`: seconds for each of its stop signals; `patience_in_hurry`: the same
    once somebody is impatient.
    """

    program: Program
    patience: float
    patience_in_hurry: float = 0.0
    is_ready: Callable[[], bool] | None = None
    read_line: Callable[[str], Line] | None = None


def next_pause(last: timedelta | None, ran: timedelta) -> timedelta:
    """How long to wait before a part is started again that lived for `ran`; `last` is the pause before that, if any."""
    if last is None or ran >= RAN_WELL:
        return FIRST_PAUSE
    return min(last * 2, LONGEST_PAUSE)


class Supervised:
    """One part that is kept running from `start` until `stop`."""

    def __init__(self, part: Part, *, hurry: asyncio.Event) -> None:
        self.name = part.program.name
        self.had_to_be_killed = False
        self._part = part
        self._hurry = hurry
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._died = asyncio.Event()
        self._said: deque[Line] = deque(maxlen=20)  # its last words, for the case that it dies while it starts
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep it running; returns at once."""
        self._task = asyncio.create_task(self._keep_running(), name=f"keep {self.name} running")

    async def ready(self, *, within: float) -> None:
        """Return once it is ready for the first time. Raises CannotStart if it dies before, or after `within` seconds."""
        await self._wait_for_first(self._ready, self._died, within=within)
        if self._ready.is_set():
            return
        what = "ended at once" if self._died.is_set() else f"does not get ready within {within:.0f} seconds"
        # Its complaints, or else simply its last words.
        said = [line.text for line in self._said if line.level != "debug"] or [line.text for line in self._said][-3:]
        raise CannotStart(f"{self.name} {what}" + (f": {' | '.join(said)}" if said else ""))

    async def is_up(self) -> None:
        """Return once it is ready, however often it dies before."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Stop it, by its signals in turn, and return when it is gone."""
        self._stop.set()
        if self._task is not None:
            await self._task

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        pause: timedelta | None = None
        while not self._stop.is_set():
            began = loop.time()
            ended = await self._run_once()
            if ended is None:
                return
            self._ready.clear()
            self._died.set()
            pause = next_pause(pause, timedelta(seconds=loop.time() - began))
            log.warning(
                "a part ended and is started again", part=self.name, ended=ended, after_seconds=pause.total_seconds()
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause.total_seconds())

    async def _run_once(self) -> str | None:
        # Answers how it ended, or None if that was our own doing.
        program = self._part.program
        try:
            process = await asyncio.create_subprocess_exec(
                *program.command(),
                env=dict(program.environ),
                cwd=program.cwd,
                stdin=DEVNULL,
                stdout=None if self._part.read_line is None else PIPE,
                stderr=None if self._part.read_line is None else STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            return f"not started: {exc}"
        log.debug("started", part=self.name, pid=process.pid)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read_lines(process))
            asking = tasks.create_task(self._ask_until_ready())
            exited = tasks.create_task(process.wait())
            stopped = tasks.create_task(self._stop.wait())
            await asyncio.wait([exited, stopped], return_when=asyncio.FIRST_COMPLETED)
            died = exited.done()
            if not died:
                await self._bring_down(process, exited)
            stopped.cancel()
            asking.cancel()
            # What it started must not outlive it either: a job's process would run beside its successor's.
            _kill_group(process.pid)
            await asyncio.wait([reading], timeout=_LAST_WORDS_SECONDS)
            reading.cancel()
        return _how_it_ended(exited.result()) if died else None

    async def _bring_down(self, process: Process, exited: asyncio.Task[int]) -> None:
        for stop in self._part.program.stops:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(stop)
            if await self._exits_in_time(exited):
                return
        log.warning("a part does not stop and is killed", part=self.name)
        self.had_to_be_killed = True
        _kill_group(process.pid)
        await exited

    async def _ask_until_ready(self) -> None:
        while self._part.is_ready is not None:
            if await asyncio.to_thread(self._part.is_ready):
                self._ready.set()
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _exits_in_time(self, exited: asyncio.Task[int]) -> bool:
        await self._wait_for_first(self._hurry, exited, within=self._part.patience)
        if not exited.done() and self._hurry.is_set():
            await asyncio.wait([exited], timeout=self._part.patience_in_hurry)
        return exited.done()

    async def _wait_for_first(self, *things: asyncio.Event | asyncio.Task[int], within: float) -> None:
        waits = [thing if isinstance(thing, asyncio.Task) else asyncio.create_task(thing.wait()) for thing in things]
        try:
            await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                if wait not in things:
                    wait.cancel()

    async def _read_lines(self, process: Process) -> None:
        if process.stdout is None or self._part.read_line is None:
            return
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:  # a line beyond the reader's limit; what follows it is read on
                continue
            if not raw:
                return
            line = self._part.read_line(raw.decode(errors="replace").rstrip())
            self._said.append(line)
            # While it starts, its own complaints ("the database system is starting up") are ordinary.
            level = line.level if self._ready.is_set() and not self._stop.is_set() else "debug"
            getattr(log, level)(line.text, process=self.name)


async def stop_in_order(stages: Iterable[Iterable[Supervised]]) -> None:
    """Stop the parts of each stage together, one stage after the other."""
    for stage in stages:
        await asyncio.gather(*(part.stop() for part in stage))


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
