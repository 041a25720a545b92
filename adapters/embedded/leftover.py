"""Servers that a supervisor left behind because it was killed itself. Nothing that runs elsewhere is ever touched."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.embedded.program import CannotStart

_STOP_SECONDS = 20.0  # for each signal; a server's orderly end takes well below one
_LOOK_SECONDS = 0.05


def end_leftover(pid_file: Path, home: Path, *, stops: Sequence[signal.Signals]) -> None:
    """Stop the server that `pid_file` names if it still runs in `home`; else forget the file, as its number may be reused.

    The caller holds the data directory, so nobody else starts one now. Raises CannotStart if it survives every signal.
    """
    try:
        pid = int(pid_file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    if not Path("/proc/self").exists():  # not Linux: we cannot know whose number it is, so the server itself must judge
        return
    if not _runs_in(pid, home):
        pid_file.unlink(missing_ok=True)
        return
    for stop in stops:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if not _runs_in(pid, home):
                return
            time.sleep(_LOOK_SECONDS)
    raise CannotStart(f"process {pid}, a server of an earlier run, uses {home} and does not stop: stop it by hand")


def _runs_in(pid: int, home: Path) -> bool:
    # Both servers have their data directory as their working directory.
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == home
    except OSError:
        return False
