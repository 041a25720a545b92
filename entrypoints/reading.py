"""How the commands that only read run and end: exit codes, Ctrl-C, and a reader such as `head` that has seen enough."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any

from domain.errors import JobledgerError

CANNOT = 1  # exit codes: not there, or cannot be read
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class WrongUsage(JobledgerError):
    """Arguments that do not go together."""

    code = "wrong_usage"


class CannotPrint(JobledgerError):
    """The standard output does not take what is printed."""

    code = "cannot_print"


def run_reading(work: Coroutine[Any, Any, None]) -> int:
    """Run the command to its end; answers the exit code. What went wrong is one sentence on the standard error."""
    try:
        try:
            asyncio.run(work)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, which is no error. The rest goes nowhere: Python would try again at its end, and complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except KeyboardInterrupt:
        return INTERRUPTED
    except JobledgerError as exc:
        sys.stderr.write(f"jobledger: {' '.join(str(exc).split())}\n")
        return WRONG_USAGE if isinstance(exc, WrongUsage) else CANNOT
    return 0


def put(text: str | bytes) -> None:
    """Print it as it is; what the output's encoding lacks is escaped. Raises BrokenPipeError, CannotPrint."""
    if isinstance(text, str):
        text = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    try:
        sys.stdout.buffer.write(text)
    except BrokenPipeError:
        raise
    except OSError as exc:  # a full disk
        raise CannotPrint(f"the output cannot be written: {exc.strerror}") from exc
