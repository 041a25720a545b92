"""The program that runs one attempt in a process of its own: `python -m adapters.job_types.attempt_process`.

Started by own_process.py and useless by hand. It takes orders on standard input, reports on a pipe, and lives no longer than
its worker. Its arguments: the descriptor of that pipe, and the worker's process id.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, Timer

from adapters.job_types import outcomes
from adapters.job_types.attempt_messages import Ended, LogLine, Progress, Report, Start, encode_frame, read_order
from adapters.job_types.batches import run_batch_async, run_batch_plain
from adapters.job_types.code import Code, prepare, run_async, run_plain
from adapters.job_types.error_text import safe_text
from adapters.job_types.registry import load_job_type
from commands.attempt import AttemptContext
from domain.errors import JobledgerError

_PR_SET_PDEATHSIG = 1  # prctl(2)
_ORPHANED = 3  # exit code; nobody is left to see it
_PROGRESS_EVERY = 0.2  # seconds between two reports of progress: the worker has other attempts to listen to
_MAX_LOG_BYTES = 64 * 1024  # of a log line with its fields; a longer one has them described and cut
_MAX_LOG_FIELDS = 20  # then
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "job_id",
    "attempt",
    "position",
    "trace_id",
}


def main() -> None:
    """Run the attempt that the first order names, report its outcome, and end as Python programs do."""
    _die_with(worker=int(sys.argv[2]))
    _leave_signals_to_the_worker()
    orders = _take_standard_input()
    reports = _Reports(int(sys.argv[1]))
    faulthandler.enable()  # a crash in native code says where, in the worker's log
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen even if os._exit follows
    start = read_order(orders)
    if not isinstance(start, Start):
        os._exit(_ORPHANED)
    sys.path[:] = start.import_path
    logging.basicConfig(handlers=[_ReportingHandler(reports)], level=start.log_level, force=True)
    context = _ReportingContext(start, reports)
    try:
        code = prepare(load_job_type(start.job_type, start.settings))
        run = _run_async if code.is_async else _run_plain
        run(code, start, context, reports, orders)
    except JobledgerError as exc:
        reports.send(Ended(outcomes.of_error(exc, context)))


def _run_plain(code: Code, start: Start, context: AttemptContext, reports: _Reports, orders: int) -> None:
    _obey(orders, context, stop=context.stop)
    limit = start.result_max_bytes
    if code.batch > 1:
        [outcome] = run_batch_plain(code, [start.payload], [context], result_max_bytes=limit)
    else:
        outcome = run_plain(code, start.payload, context, result_max_bytes=limit)
    reports.send(Ended(outcome))


def _run_async(code: Code, start: Start, context: AttemptContext, reports: _Reports, orders: int) -> None:
    async def attempt() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def stop() -> None:
            context.stop()
            with suppress(RuntimeError):  # the loop may just have ended
                loop.call_soon_threadsafe(task.cancel)

        _obey(orders, context, stop=stop)
        limit = start.result_max_bytes
        if code.batch > 1:
            [outcome] = await run_batch_async(code, [start.payload], [context], result_max_bytes=limit)
        else:
            outcome = await run_async(code, start.payload, context, result_max_bytes=limit)
        # Before the loop is wound up: tasks that the code left behind may take their time, or never end.
        reports.send(Ended(outcome))

    try:
        asyncio.run(attempt())
    except BaseException as exc:  # noqa: BLE001 - SystemExit in a task of the code's own breaks through the loop
        reports.send(Ended(outcomes.of_error(exc, context)))  # if an outcome was reported before, that one counts


def _obey(orders: int, context: AttemptContext, *, stop: Callable[[], None]) -> None:
    def watch() -> None:
        while read_order(orders) is not None:
            stop()
        os._exit(_ORPHANED)

    Thread(target=watch, name="orders", daemon=True).start()


def _die_with(*, worker: int) -> None:
    if sys.platform == "linux":  # elsewhere the end of the orders has to do, which waits for code that holds the GIL
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it died before the line above
        os._exit(_ORPHANED)


def _leave_signals_to_the_worker() -> None:
    # A supervisor may signal every process of the service; a worker lets what runs come to its end and stops it by an order.
    # Not SIG_IGN, which programs that the code starts would inherit.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def _take_standard_input() -> int:
    """Move our orders off descriptor 0 (not inherited from here on), and let the code read an empty input instead."""
    orders = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return orders


class _Reports:
    """Our end of the pipe, for any thread of this process."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - programs that the code starts must not hold it open
        self._descriptor = descriptor
        self._lock = Lock()
        self._owner = os.getpid()

    def send(self, report: Report) -> None:
        """Write the report. A fork of this process says nothing: it would cut into the frames of the other."""
        if os.getpid() != self._owner:
            return
        rest = memoryview(encode_frame(report))
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


class _ReportingContext(AttemptContext):
    """Tells the worker of progress: at once, and what comes soon after that together, the newest of it."""

    __slots__ = ("_lock", "_reports", "_told_at", "_waiting")

    def __init__(self, start: Start, reports: _Reports) -> None:
        super().__init__(
            start.job_id, start.attempt, start.created_at, position=start.position, trace_id=start.trace_id
        )
        self._reports = reports
        self._lock = Lock()
        self._told_at = float("-inf")
        self._waiting = False  # whether the newest will be told by a timer

    def progress(self, fraction: float, note: str = "") -> None:
        super().progress(fraction, note)
        with self._lock:
            if self._waiting:
                return
            wait = self._told_at + _PROGRESS_EVERY - time.monotonic()
            self._waiting = wait > 0
        if wait <= 0:
            self._tell()
            return
        timer = Timer(wait, self._tell)
        timer.daemon = True  # the end of the code does not wait for it
        timer.start()

    def _tell(self) -> None:
        with self._lock:
            self._waiting = False
            self._told_at = time.monotonic()
            newest = self.latest_progress
        assert newest is not None
        self._reports.send(Progress(*newest))


class _ReportingHandler(logging.Handler):
    """Sends log lines to the worker, whose log knows where they belong."""

    def __init__(self, reports: _Reports) -> None:
        super().__init__()
        self._reports = reports
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = safe_text(record.getMessage())
            fields = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
            if record.exc_info:
                fields["exception"] = safe_text(self._formatter.formatException(record.exc_info))
            if record.name != "jobledger.job":
                fields["logger"] = record.name
            self._reports.send(_fitting(LogLine(record.levelno, text, fields)))
        except Exception:  # noqa: BLE001 - the rule of logging: a line that fails is reported and forgotten
            self.handleError(record)


def _fitting(line: LogLine) -> LogLine:
    with suppress(ValueError, TypeError, OverflowError):  # a field that msgpack cannot take, such as a lone surrogate
        if len(encode_frame(line)) <= _MAX_LOG_BYTES:
            return line
    described = [(safe_text(str(name)), safe_text(repr(value))) for name, value in line.fields.items()]
    return LogLine(line.level, line.text, dict(described[:_MAX_LOG_FIELDS]))


if __name__ == "__main__":
    main()
