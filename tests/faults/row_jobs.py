"""Job types that single rows of the fault suite need, beside those of the load (fault_jobs.py, which lies beside this one)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from fault_jobs import executed  # type: ignore[import-not-found]  # as it is installed: see cluster.py

import jobledger

_LOOK = 0.02  # seconds between two looks at a gate


@jobledger.job_type("GATED", timeout=120.0)
async def gated(payload: dict[str, str], context: jobledger.Context) -> str:
    """Reports progress, then waits until the file `gate` is there."""
    with executed(context):
        context.progress(0.5)
        while not Path(payload["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - another process opens it
            await asyncio.sleep(_LOOK)
        return "done"


@jobledger.job_type("STEPS")
async def steps(payload: Any, context: jobledger.Context) -> str:
    """Does a little, reports progress, and does the rest."""
    with executed(context):
        await asyncio.sleep(0.02)
        context.progress(0.5)
        await asyncio.sleep(0.02)
        return "done"


@jobledger.job_type("BLOCKS_THE_LOOP", timeout=60.0)
async def blocks_the_loop(payload: dict[str, float], context: jobledger.Context) -> str:
    """Does what an async function must not do, for `seconds`."""
    with executed(context):
        time.sleep(payload["seconds"])  # noqa: ASYNC251 - that is its fault
        return "done"


@jobledger.job_type("NEVER_RETURNS", timeout=1.0, max_attempts=1)
async def never_returns(payload: Any, context: jobledger.Context) -> None:
    """Waits for what never comes."""
    with executed(context):
        await asyncio.Event().wait()


@jobledger.job_type("BLOCKS_FOR_EVER", timeout=1.0, max_attempts=1)
async def blocks_for_ever(payload: Any, context: jobledger.Context) -> None:
    """Lets nothing else in its process go on."""
    with executed(context):
        while True:
            time.sleep(1)  # noqa: ASYNC251 - that is its fault
