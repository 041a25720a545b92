"""Job types for system tests: what they do is steered by files, and each execution is written down where it can be counted.

Copied into a directory of installed packages (see service.py), so that the processes find it as they find anybody's. A gate
is a file: who waits for it goes on once it is there. TALLY names the file of what was executed, one JSON line a fact.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import jobledger

_LOOK = 0.02  # seconds between two looks at a gate


def _tell(context: jobledger.Context, what: str) -> None:
    fact = {"job": context.job_id, "attempt": context.attempt, "what": what, "pid": os.getpid(), "at": time.time()}
    file = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, json.dumps(fact).encode() + b"\n")  # one write: lines of several processes do not mix
    os.close(file)


@jobledger.job_type("NOOP")
async def noop(payload: Any, context: jobledger.Context) -> str:
    """Only leaves its trace."""
    _tell(context, "begin")
    return "done"


@jobledger.job_type("FLAKY")
async def flaky(payload: dict[str, int], context: jobledger.Context) -> str:
    """Fails in its first `times` attempts."""
    _tell(context, "begin")
    if context.attempt <= payload["times"]:
        raise ValueError(f"attempt {context.attempt} fails")
    return "done"


@jobledger.job_type("GATED")
async def gated(payload: dict[str, str], context: jobledger.Context) -> str:
    """Waits in the loop for `gate`."""
    _tell(context, "begin")
    while not Path(payload["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - another process opens it
        await asyncio.sleep(_LOOK)
    _tell(context, "end")
    return "done"


@jobledger.job_type("GATED_BRIEFLY", timeout=1.0, max_attempts=1)
async def gated_briefly(payload: dict[str, str], context: jobledger.Context) -> str:
    """The same, and has a second for it; says when it is cancelled."""
    try:
        return str(await gated.run(payload, context))
    except asyncio.CancelledError:
        _tell(context, "cancelled")
        raise


def _deaf(payload: dict[str, str], context: jobledger.Context) -> str:
    """Waits for `gate` and hears no stop, but says that it was told to; ends in an error if it was."""
    _tell(context, "begin")
    told = False
    while not Path(payload["gate"]).exists():
        if context.should_stop and not told:
            told = True
            _tell(context, "told to stop")
        time.sleep(_LOOK)
    _tell(context, "end")
    if told:
        raise RuntimeError("was told to stop")
    return "done"


deaf_thread = jobledger.job_type("DEAF_THREAD", timeout=1.0, max_attempts=1)(_deaf)
deaf_thread_for_long = jobledger.job_type("DEAF_THREAD_FOR_LONG")(_deaf)
deaf_process = jobledger.job_type("DEAF_PROCESS", runs_in="process", timeout=1.0, max_attempts=1)(_deaf)


async def _half_way(payload: dict[str, str], context: jobledger.Context) -> str:
    """Says that half is done, and waits for `gate` with the rest."""
    context.progress(0.5, "half of it is done")
    return str(await gated.run(payload, context))


half_way = jobledger.job_type("HALF_WAY")(_half_way)
half_way_process = jobledger.job_type("HALF_WAY_PROCESS", runs_in="process")(_half_way)


@jobledger.job_type("BLOCKS_THE_LOOP")
async def blocks_the_loop(payload: dict[str, float], context: jobledger.Context) -> str:
    """Does what an async function must not do, for `seconds`."""
    _tell(context, "begin")
    time.sleep(payload["seconds"])  # noqa: ASYNC251 - that is its fault
    return "done"


@jobledger.job_type("NEVER_RETURNS", timeout=1.0, max_attempts=2)
async def never_returns(payload: dict[str, bool], context: jobledger.Context) -> None:
    """Goes on for ever: and lets nothing else go on (`blocks`), or waits and hears no cancellation."""
    _tell(context, "begin")
    while True:
        if payload["blocks"]:
            time.sleep(_LOOK)  # noqa: ASYNC251 - that is its fault
        else:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(_LOOK)


@jobledger.job_type("KILLS_ITS_WORKER")
async def kills_its_worker(payload: Any, context: jobledger.Context) -> str:
    """Takes the process that it runs in along in its first two attempts."""
    _tell(context, "begin")
    if context.attempt <= 2:
        os.kill(os.getpid(), 9)
    return "done"


@jobledger.job_type("SPECIAL")
async def special(payload: Any, context: jobledger.Context) -> str:
    """One that not every process knows: see service.py."""
    return str(await noop.run(payload, context))
