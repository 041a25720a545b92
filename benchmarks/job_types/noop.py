"""The job type NOOP, installed as anybody's is: what a job costs that does nothing."""

from __future__ import annotations

from typing import Any

import jobledger


@jobledger.job_type("NOOP")
async def noop(payload: Any, context: jobledger.Context) -> None:
    """Nothing at all."""
