"""A program that runs as a child in the foreground: what to start, how to stop it. Nothing here starts anything."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from domain.errors import JobledgerError

_LAUNCHER = Path(__file__).with_name("launch.py")


class CannotStart(JobledgerError):
    """A part of the service cannot be started here; the text says in one sentence why, and what helps."""

    code = "cannot_start"


class RunAs(Struct, frozen=True):
    """Another user that a program runs as; `capability` is kept, to reach files below directories that are closed to it."""

    uid: int
    gid: int
    capability: int | None = None


class Line(Struct, frozen=True):
    """What a server wrote into its own log, without its decoration."""

    level: Literal["debug", "warning", "error"]
    text: str


class Program(Struct, frozen=True, kw_only=True):
    """One program. `environ` is all that it gets of the environment; `orphaned` is the signal it gets if its parent dies."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    stops: tuple[signal.Signals, ...] = (signal.SIGTERM,)  # in turn, each with its time; at the end it is killed
    orphaned: signal.Signals = signal.SIGKILL
    run_as: RunAs | None = None

    def command(self) -> Sequence[str]:
        """The command line to start it with, from the process that is to be its parent, in a session of its own."""
        user, capability = "-", "-"
        if self.run_as is not None:
            user = f"{self.run_as.uid}:{self.run_as.gid}"
            if self.run_as.capability is not None:
                capability = str(self.run_as.capability)
        leash = (str(int(self.orphaned)), str(os.getpid()), user, capability)
        return (sys.executable, "-I", "-S", str(_LAUNCHER), *leash, *self.argv)
