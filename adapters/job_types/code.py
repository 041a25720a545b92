"""A job type's code, made ready to be run again and again: its payload's decoder, and where it runs."""

from __future__ import annotations

import inspect
from asyncio import CancelledError, current_task
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from adapters.job_types import outcomes
from commands.attempt import AttemptContext, Outcome
from domain.errors import JobledgerError
from domain.job_type import JobType, RunsIn


class UnusableJobType(JobledgerError):
    """A job type cannot be run as it is written or installed."""

    code = "unusable_job_type"


class Code(Struct, frozen=True):
    """What `prepare` makes of a job type."""

    name: str
    run: Callable[..., Any]
    decode: Callable[[bytes], Any]
    runs_in: RunsIn
    is_async: bool
    batch: int


def prepare(job_type: JobType) -> Code:
    """Judge the job type and make its decoder. Raises UnusableJobType."""
    is_async = inspect.iscoroutinefunction(job_type.run) or inspect.iscoroutinefunction(type(job_type.run).__call__)
    if job_type.runs_in == "loop" and not is_async:
        raise UnusableJobType(f"job type {job_type.name} runs in the loop, but its function is not async")
    if job_type.runs_in == "thread" and is_async:
        raise UnusableJobType(f"job type {job_type.name} runs in a thread, but its function is async")
    try:
        decode = msgspec.json.Decoder(job_type.payload).decode
    except Exception as exc:
        raise UnusableJobType(
            f"job type {job_type.name}: no payload can be decoded into its payload type: {exc}"
        ) from exc
    if job_type.batch > 1 and job_type.runs_in == "process":
        raise UnusableJobType(f"job type {job_type.name} takes batches, but a process of its own runs one job")
    return Code(job_type.name, job_type.run, decode, job_type.runs_in, is_async, job_type.batch)


def run_plain(code: Code, payload: bytes, context: AttemptContext, *, result_max_bytes: int) -> Outcome:
    """Run a plain function here and now, in whatever thread this is."""
    try:
        decoded = code.decode(payload)
    except BaseException as exc:  # noqa: BLE001 - a payload type may run code of its own (__post_init__)
        return outcomes.of_unfit_payload(exc, job_type=code.name)
    try:
        value = code.run(decoded, context)
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler ends its attempt, not its worker
        return outcomes.of_error(exc, context)
    return outcomes.of_result(value, max_bytes=result_max_bytes)


async def run_async(code: Code, payload: bytes, context: AttemptContext, *, result_max_bytes: int) -> Outcome:
    """Run an async function in this task. Raises CancelledError if the task was cancelled without `context.stop()`."""
    try:
        decoded = code.decode(payload)
    except BaseException as exc:  # noqa: BLE001 - as above
        return outcomes.of_unfit_payload(exc, job_type=code.name)
    try:
        value = await code.run(decoded, context)
    except CancelledError as exc:
        task = current_task()
        if not context.should_stop and task is not None and task.cancelling():
            raise
        # Told to stop; or raised by the code itself, such as by waiting for a task that it cancelled: an error like others.
        return outcomes.of_error(exc, context)
    except BaseException as exc:  # noqa: BLE001 - as above
        return outcomes.of_error(exc, context)
    return outcomes.of_result(value, max_bytes=result_max_bytes)
