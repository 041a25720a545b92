"""How far a command is, on the standard error: a bar in a terminal, else a plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_SAY_SECONDS = 5.0  # between two plain lines


@contextmanager
def counted_progress(output: TextIO, *, doing: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """What to call with how much is done, of `total` (None: nobody knows of how much), and with what to say of it."""
    if not output.isatty():
        yield _plain_lines(output, doing, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=output), transient=True) as bars:
        task = bars.add_task(doing, total=total, said="")

        def show(done: int, said: str) -> None:
            bars.update(task, completed=done, said=said)

        yield show


def _plain_lines(output: TextIO, doing: str, total: int | None) -> Callable[[int, str], None]:
    said_at = time.monotonic()

    def show(done: int, said: str) -> None:
        nonlocal said_at
        now = time.monotonic()
        if now < said_at + _SAY_SECONDS:
            return
        said_at = now
        share = f" ({100 * done / total:.0f} %)" if total else ""
        output.write(f"{doing}: {said}{share}\n")
        output.flush()

    return show
