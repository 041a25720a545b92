"""How a command that does one thing does it and ends: settings, exit code, Ctrl-C, and what went wrong in one sentence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from domain.errors import JobledgerError
from entrypoints.settings import Settings, read_settings

CANNOT = 1  # exit codes: what was wanted cannot be done; a command may have another one for it
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TERMINATED = 143  # 128 + SIGTERM


class WrongUsage(JobledgerError):
    """Arguments that do not go together."""

    code = "wrong_usage"


def run_command(
    work: Callable[[Settings], int | Coroutine[Any, Any, int]], *, cannot: int = CANNOT, interrupted: str = ""
) -> int:
    """Do the work with the settings; answers the exit code: the work's own, `cannot` after a JobledgerError, or one of the above.

    Raises InvalidSetting for settings that cannot be read, which are the same for every command.
    `interrupted`: what to say after Ctrl-C, or after a SIGTERM by which the work cancels itself: what holds now, or how to go on.
    """
    settings = read_settings()
    try:
        done = work(settings)
        return done if isinstance(done, int) else asyncio.run(done)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except asyncio.CancelledError:
        code = TERMINATED
    except JobledgerError as exc:
        complain(str(exc))
        return WRONG_USAGE if isinstance(exc, WrongUsage) else cannot
    if interrupted:
        complain(f"interrupted; {interrupted}")
    return code


def complain(text: str) -> None:
    """Say on the standard error, in one line, what is wrong."""
    sys.stderr.write(f"jobledger: {' '.join(text.split())}\n")
