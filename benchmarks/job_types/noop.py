"""Job types that do nothing, installed as anybody's are: what a job costs, and what it costs beside others in one call."""

from __future__ import annotations

from typing import Any

import jobledger


@jobledger.job_type("NOOP")
async def noop(payload: Any, context: jobledger.Context) -> None:
    """Nothing at all."""


@jobledger.job_type("NOOP_BATCH", batch=1_000)
async def noop_batch(payloads: list[Any], contexts: list[jobledger.Context]) -> list[None]:
    """Nothing at all, a thousand times."""
    return [None] * len(payloads)
