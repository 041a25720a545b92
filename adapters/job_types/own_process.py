"""Runs one attempt in a process of its own and waits for its end: the worker's side of attempt_process.py.

Blocks its thread from start to end (and that thread must live as long: on Linux the child is killed with the thread that
started it). Costs a start of Python, so it is for work that keeps a CPU busy, and for code that may kill its process.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress

import msgspec

from adapters.job_types.attempt_messages import Ended, LogLine, Progress, ReportReader, Start, Stop, encode_frame
from adapters.job_types.error_text import safe_text
from commands.attempt import AttemptContext, Errored, Outcome, Stopped

_TICK = 0.05  # seconds between looks at should_stop
_CLOSING_TICK = 0.005  # seconds, once the child has reported its end or closed its pipe
_READ_BYTES = 65536
_REPORT_MARGIN = 1024 * 1024  # bytes: of a report beside the result, such as a log line with its fields
_MAX_LAST_READS = (
    1000  # once it has ended: more than pipes hold, but not for ever if a daemon of its own goes on printing
)
_MAX_LINE = 4000  # characters of a printed line that go to the log as one


def run_in_own_process(start: Start, context: AttemptContext, *, kill_after: float) -> Outcome:
    """Run what `start` names. Everything is an outcome, also a process that dies or cannot be started.

    When `context.should_stop` becomes true the child is told; if it (or what is left of it after its outcome) has not ended
    `kill_after` seconds later, it is killed, with all processes of its group.
    """
    try:
        child = _Child(start, context)
    except OSError as exc:
        return _errored(f"no process could be started for the attempt: {exc}")
    try:
        killed = _attend(child, context, kill_after=kill_after)
    finally:
        child.close()
    if child.outcome is not None:
        return child.outcome
    ending = _ending(child.process.returncode)
    if child.damage:
        return _errored(f"the attempt's process sent what cannot be read ({child.damage}) and {ending}")
    if context.should_stop:
        how = f"was killed {kill_after:g} seconds after it had been told to stop" if killed else ending
        return Stopped(_text(f"the attempt's process {how}"))
    return Errored(_text(f"the attempt's process {ending} before it gave a result"), died=True)


def _attend(child: _Child, context: AttemptContext, *, kill_after: float) -> bool:
    """Serve the child until it has ended. Gives whether it had to be killed."""
    kill_at: float | None = None
    told = False
    while child.process.poll() is None:
        child.serve(within=_CLOSING_TICK if child.closing else _TICK)
        if context.should_stop and not told:
            told = True
            child.tell_to_stop()
        if kill_at is None and (told or child.closing):
            kill_at = time.monotonic() + kill_after
        if child.damage or (kill_at is not None and time.monotonic() >= kill_at):
            child.kill()
            child.process.wait()
            return True
    return False


class _Child:
    """The process and its three pipes: orders to it, reports from it, and what its code prints."""

    def __init__(self, start: Start, context: AttemptContext) -> None:
        self._context = context
        self.outcome: Outcome | None = None
        self.damage = ""
        self.closing = False  # it has reported its end, or cannot report any more
        self._reader = ReportReader(max_bytes=start.result_max_bytes + _REPORT_MARGIN)
        self._printed = bytearray()
        self._to_write = memoryview(encode_frame(start))
        self._selector = selectors.DefaultSelector()
        self._reports, reports_end = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [
                    sys.executable,
                    "-P",  # the current directory is no place to import from
                    "-m",
                    "adapters.job_types.attempt_process",
                    str(reports_end),
                    str(os.getpid()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(reports_end,),
                start_new_session=True,  # Ctrl-C in a terminal is the worker's business; and a group that can be killed
            )
        except OSError:
            os.close(self._reports)
            self._selector.close()
            raise
        finally:
            os.close(reports_end)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._orders = self.process.stdin.fileno()
        self._output = self.process.stdout.fileno()
        for descriptor in (self._orders, self._output, self._reports):
            os.set_blocking(descriptor, False)
        self._selector.register(self._orders, selectors.EVENT_WRITE)
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._reports, selectors.EVENT_READ)

    def serve(self, *, within: float) -> bool:
        """Wait up to `within` seconds for something to read or write, and do it. Gives whether there was something."""
        ready = self._selector.select(within)
        for key, _ in ready:
            if key.fd == self._orders:
                self._write_orders()
            elif key.fd == self._output:
                self._read_output()
            else:
                self._read_reports()
        return bool(ready)

    def tell_to_stop(self) -> None:
        if not self._to_write:
            with suppress(KeyError):  # already there, if the start was not yet written
                self._selector.register(self._orders, selectors.EVENT_WRITE)
        self._to_write = memoryview(bytes(self._to_write) + encode_frame(Stop()))

    def kill(self) -> None:
        """Kill the child and what else is in its group. Harmless if there is nothing."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Take what the child had written before it ended, and let go of everything."""
        if self.process.poll() is None:  # only if this thread was interrupted
            self.kill()
            self.process.wait()
        self.kill()  # what the code has left running belongs to the attempt, and the attempt is over
        for _ in range(_MAX_LAST_READS):
            if not self._selector.get_map() or not self.serve(within=0):
                break
        self._log_printed(bytes(self._printed))
        self._selector.close()
        os.close(self._reports)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):  # orders that it never read
                pipe.close()

    def _write_orders(self) -> None:
        try:
            self._to_write = self._to_write[os.write(self._orders, self._to_write) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._to_write = memoryview(b"")
        if not self._to_write:
            self._selector.unregister(self._orders)  # kept open: its end would end the child

    def _read_reports(self) -> None:
        data = self._read(self._reports)
        if data is None:
            self.closing = True
            return
        try:
            for report in self._reader.feed(data):
                match report:
                    case LogLine():
                        self._context.log.log(report.level, "%s", report.text, extra=report.fields)
                    case Progress():
                        self._context.progress(report.fraction, report.note)
                    case Ended():
                        self.outcome = self.outcome or report.outcome
                        self.closing = True
        except (ValueError, msgspec.MsgspecError) as exc:
            self.damage = str(exc)
            self._selector.unregister(self._reports)

    def _read_output(self) -> None:
        data = self._read(self._output)
        self._printed += data or b""
        *lines, rest = self._printed.split(b"\n")
        for line in lines:
            self._log_printed(bytes(line))
        while len(rest) > _MAX_LINE:
            self._log_printed(bytes(rest[:_MAX_LINE]))
            rest = rest[_MAX_LINE:]
        self._printed = bytearray(rest)

    def _log_printed(self, line: bytes) -> None:
        if line.strip():
            self._context.log.info(
                "the code of the job type printed", extra={"line": safe_text(line.decode(errors="replace"))}
            )

    def _read(self, descriptor: int) -> bytes | None:
        """What is there; None at the end, which also takes it out of the selector."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(descriptor)
            return None
        return data


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was ended by signal {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _text(text: str) -> bytes:
    return msgspec.json.encode(safe_text(f"ProcessEnded: {text}"))


def _errored(text: str) -> Errored:
    return Errored(_text(text))
