"""`jobledger status`: what goes on now, redrawn each second in a terminal; one look, as text or JSON, elsewhere."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from commands.ports import Unavailable
from commands.status import COUNTED, Status, StatusReader, WorkerStatus
from domain.events import PRIORITIES
from domain.moment import timestamp
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless
from entrypoints.which_database import database_of

EPILOGUE = "For programs: `jobledger status --json`. Example: `jobledger status`"

_EVERY = 1.0  # seconds
_WIDE = 200  # characters
_MOST_WORKERS = 30  # lines; a terminal has no more
_LAGS = 5.0  # seconds behind the log from which on somebody should look
# In the order of a job's life; the first four are what people ask for.
_RATES = {
    "Created": "created",
    "Started": "started",
    "Completed": "completed",
    "Failed": "failed",
    "Attempted": "tried in vain",
}


def status(*, once: bool = False, json: bool = False) -> int:
    """Show what goes on: rates, what is queued and since when, the workers and what they run, and who is behind the log.

    In a terminal it is drawn again each second, until Ctrl-C. It asks PostgreSQL alone, a few cheap questions.

    Exit codes: 0 shown, or ended by Ctrl-C; 1 PostgreSQL cannot be asked.

    Parameters
    ----------
    once
        One look, also in a terminal.
    json
        One look, as JSON.
    """
    return run_reading(lambda settings: _show(settings, once=once or json or not sys.stdout.isatty(), as_json=json))


async def _show(settings: Settings, *, once: bool, as_json: bool) -> None:
    from adapters.postgres.status_reader import PostgresStatusReader
    from entrypoints import wiring

    settings = replace(settings, database_url=database_of(settings))
    async with wiring.pool(settings, application="status", size=1) as pool:
        reader = PostgresStatusReader(pool)
        if not once:
            await _draw_again_and_again(reader)
            return
        found = await reader.read()
        if as_json:
            put(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
            return
        # What is no terminal has no width: lines are as long as they are.
        width = None if sys.stdout.isatty() else _WIDE
        Console(file=sys.stdout, highlight=False, width=width).print(drawn(found))


async def _draw_again_and_again(reader: StatusReader) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    shown: Group | None = None
    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            began = time.monotonic()
            try:
                shown = drawn(await reader.read())
                live.update(shown, refresh=True)
            except Unavailable as exc:
                if shown is None:
                    raise
                # What was seen last, and that it is old.
                away = Text(f"PostgreSQL cannot be asked: {exc}", style="red", overflow="fold")
                live.update(Group(away, shown), refresh=True)
            try:
                async with asyncio.timeout(max(0.05, _EVERY - (time.monotonic() - began))):
                    await stop.wait()
            except TimeoutError:
                continue


def drawn(found: Status) -> Group:
    """The look as text for people."""
    parts: list[Text | Table] = [
        Text(f"Jobledger at {timestamp(datetime.now(UTC))}", style="bold"),
        Text(_rates(found)),
        _queue(found),
        _readers(found),
        _workers(found),
    ]
    spaced: list[Text | Table] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])


def _rates(found: Status) -> str:
    told = [f"{name} {found.per_second.get(type_, 0.0):.1f}" for type_, name in _RATES.items()]
    return f"jobs a second: {', '.join(told)}"


def _queue(found: Status) -> Table:
    table = _table("queued", "jobs", "oldest waits")
    for priority in PRIORITIES:
        count = found.queued.get(priority, 0)
        waits = _seconds(found.standing.oldest[priority]) if priority in found.standing.oldest else ""
        table.add_row(priority, f"{count}{'+' if count >= COUNTED else ''}", waits)
    return table


def _readers(found: Status) -> Table:
    table = _table("follows the log", "position", "behind by", "for")
    head = found.standing.head
    table.add_row("(head)", str(head), "", "")
    for name, reader in sorted(found.standing.readers.items()):
        behind = max(0, head - reader.position)
        style = "red" if reader.age > _LAGS else ""
        led = f" {harmless(found.dispatcher)}" if name == "dispatcher" and found.dispatcher else ""
        table.add_row(
            name + led, str(reader.position), str(behind), _seconds(reader.age) if behind else "", style=style
        )
    if found.dispatcher is None:
        table.add_row("no dispatcher leads", "", "", "", style="red")
    if found.redis != "ok":
        table.add_row(Text(f"redis: {harmless(found.redis)}", overflow="fold"), "", "", "", style="red")
    return table


def _workers(found: Status) -> Table:
    table = _table("worker", "claims from", "up for", "runs", "longest")
    for worker in found.workers[:_MOST_WORKERS]:
        running = ", ".join(f"{harmless(one.type)} {one.jobs}" for one in worker.running) or "-"
        longest = max((one.longest_seconds for one in worker.running), default=None)
        table.add_row(
            harmless(worker.name),
            _claims(worker),
            "" if worker.up_seconds is None else _seconds(worker.up_seconds),
            Text(running, overflow="fold"),
            "" if longest is None else _seconds(longest),
            style="" if worker.is_registered and worker.claims_from == "streams" else "yellow",
        )
    if not found.workers:
        table.add_row("no worker is registered", "", "", "", "", style="red")
    if len(found.workers) > _MOST_WORKERS:
        table.add_row(f"and {len(found.workers) - _MOST_WORKERS} more", "", "", "", "")
    return table


def _claims(worker: WorkerStatus) -> str:
    if not worker.is_registered:
        return "gone: its jobs wait to be closed"
    return worker.claims_from or "nowhere"


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for head in heads:
        table.add_column(
            head, justify="right" if head in {"jobs", "position", "behind by"} else "left", header_style="bold"
        )
    return table


def _seconds(seconds: float) -> str:
    """As people say it: 12.3 s, 4 min 5 s, 3 h 12 min, 2 d 4 h."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
