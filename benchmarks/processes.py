"""The processes of a measurement: started, listened to, paused, stopped; and all of them gone at its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_SECONDS = 60.0  # that a process may take until it is ready
PATIENCE_SECONDS = 600.0  # that any single thing may take: the machine may be slow, a rival too
_LOOK_SECONDS = 0.005


class BenchFailed(Exception):
    """Something did not come about that a measurement needs; the text says what was seen."""


def until(
    holds: Callable[[], bool], *, what: str, within: float = PATIENCE_SECONDS, look: float = _LOOK_SECONDS
) -> None:
    """Return as soon as it holds. Raises BenchFailed, which names `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise BenchFailed(f"not within {within:.0f} seconds: {what}")
        time.sleep(look)


class Child:
    """One process of a group. Its output goes to a file, whose end is shown when it fails."""

    def __init__(
        self,
        group: str,
        command: Sequence[str | Path],
        *,
        environ: Mapping[str, str],
        logs: Path,
        cwd: Path | None = None,
    ) -> None:
        self.group = group
        self._output = logs / f"{group}-{time.monotonic_ns()}.log"
        with self._output.open("wb") as output:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def said(self) -> str:
        """All that it wrote so far."""
        return self._output.read_text(errors="replace")

    def until_says(self, text: str, *, within: float = PATIENCE_SECONDS) -> None:
        """Return once it has written `text`. Raises BenchFailed if it ends before."""

        def has_said() -> bool:
            over = self._popen.poll() is not None
            if text in self.said:
                return True
            if over:
                raise BenchFailed(f"{self.group} ended with {self._popen.returncode}: {self.said[-3000:]}")
            return False

        until(has_said, what=f"{self.group} says {text!r}, but: {self.said[-1000:]!r}", within=within)

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def close_input(self) -> None:
        """Let it see the end of its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()

    def ended(self, *, within: float = PATIENCE_SECONDS) -> str:
        """Wait for its end, which must be a good one; gives what it wrote."""
        try:
            code = self._popen.wait(within)
        except subprocess.TimeoutExpired as exc:
            raise BenchFailed(f"{self.group} does not end: {self.said[-3000:]}") from exc
        if code != 0:
            raise BenchFailed(f"{self.group} ended with {code}: {self.said[-3000:]}")
        return self.said

    def pause(self) -> None:
        """Stop it where it stands."""
        self._popen.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED, what=f"{self.group} stands")

    def resume(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def stop(self, *numbers: signal.Signals) -> None:
        """End it: by these signals in turn (SIGTERM if none is named), at last by SIGKILL to it and what it started."""
        if self._popen.poll() is None:
            self.resume()
            for number in numbers or (signal.SIGTERM,):
                self._popen.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(15)
                    break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        with contextlib.suppress(BrokenPipeError):
            self.close_input()


class Children:
    """The processes of one run. A context manager: at its end they are gone, the last started first."""

    def __init__(self, logs: Path) -> None:
        self.all: list[Child] = []
        self._logs = logs

    def start(
        self, group: str, command: Sequence[str | Path], *, environ: Mapping[str, str], cwd: Path | None = None
    ) -> Child:
        """Start one, as a member of `group`."""
        self.all.append(Child(group, command, environ=environ, logs=self._logs, cwd=cwd))
        return self.all[-1]

    def of(self, group: str) -> list[Child]:
        return [child for child in self.all if child.group == group]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in reversed(self.all):
            child.stop()


def python(*arguments: str | Path) -> list[str | Path]:
    """The command line of this Python; -P, since a directory `domain` or `sql` where somebody stands is not ours."""
    return [sys.executable, "-P", *arguments]


def environment(**more: object) -> dict[str, str]:
    """This process's environment without what could change how one is measured, and `more`."""
    ours = {"DATABASE_URL", "REDIS_URL", "PYTHONPATH", "NODE_OPTIONS", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG"}
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("COV")}
    return kept | {name: str(value) for name, value in more.items()}
