"""What the author of a job type imports. Small on purpose; everything else in this project is internal.

    import jobledger

    @jobledger.job_type("GREET")
    async def greet(payload: dict[str, str], context: jobledger.Context) -> dict[str, str]:
        return {"greeting": f"Hello, {payload['name']}!"}

A package makes its types known by the entry-point group `jobledger.job_types`; see docs/writing-a-job-type.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from domain.job_type import Context, JobType, PermanentError, RetryLater, RunsIn

__all__ = ["Context", "JobType", "PermanentError", "RetryLater", "job_type"]


def job_type(
    name: str,
    *,
    payload: Any = Any,
    runs_in: RunsIn | None = None,
    timeout: float | None = None,
    max_attempts: int | None = None,
    batch: int = 1,
) -> Callable[[Callable[..., Any]], JobType]:
    """Make a job type of a function `(payload, context) -> result`.

    `payload`: a type that msgspec decodes the payload into, such as a Struct or TypedDict. `runs_in`: "loop" (the default
    of async functions), "thread" (of plain ones) or "process". `timeout`: seconds that one attempt may take.
    `max_attempts`: how many in all. `batch`: with more than 1, one call serves up to so many jobs, and the function is
    `(payloads, contexts) -> list with the result or the exception of each`. Raises ValueError for limits or a combination
    that cannot work.
    """

    def decorate(run: Callable[..., Any]) -> JobType:
        is_async = inspect.iscoroutinefunction(run)
        place = runs_in or ("loop" if is_async else "thread")
        if place == "loop" and not is_async:
            raise ValueError(f"job type {name}: a plain function would block the event loop; use a thread or a process")
        if place == "thread" and is_async:
            raise ValueError(f"job type {name}: an async function runs in the loop or in a process, not in a thread")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"job type {name}: timeout is {timeout}, but must be above 0 seconds")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError(f"job type {name}: max_attempts is {max_attempts}, but must be 1 or more")
        if batch < 1:
            raise ValueError(f"job type {name}: batch is {batch}, but must be 1 or more")
        if batch > 1 and place == "process":
            raise ValueError(f"job type {name}: a process of its own runs one job, so it takes no batches")
        return JobType(
            name=name,
            run=run,
            payload=payload,
            runs_in=place,
            timeout=timeout,
            max_attempts=max_attempts,
            batch=batch,
        )

    return decorate
