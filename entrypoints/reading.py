"""How the commands that print what they read end: also by a reader such as `head` that has seen enough."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from domain.errors import JobledgerError
from entrypoints.command_frame import run_command
from entrypoints.settings import Settings


class CannotPrint(JobledgerError):
    """The standard output does not take what is printed."""

    code = "cannot_print"


def run_reading(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> int:
    """As `run_command`, for what prints: 0 when all is printed, or its reader has seen enough."""

    async def print_all(settings: Settings) -> int:
        try:
            try:
                await work(settings)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read has seen enough, which is no error. The rest goes nowhere: Python would try again at its end, and
            # complain.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return 0

    return run_command(print_all)


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
