"""From what a job type's code returned or raised to the outcome of the attempt. Always gives a value."""

from __future__ import annotations

import math
from contextlib import suppress
from traceback import walk_tb
from typing import Any

import msgspec

from adapters.job_types.error_text import error_text, leaves, safe_text
from commands.attempt import Errored, Outcome, Stopped, Succeeded
from domain.job_type import Context, PermanentError, RetryLater

MAX_RETRY_AFTER = 30 * 24 * 3600.0  # seconds: a longer wait is a mistake, and far beyond this no timestamp holds it
MAX_NESTING = 64  # as for payloads: deeper JSON stops readers that recurse
_MAX_FRAMES = 20  # of a traceback, the innermost

_NULL = Succeeded(b"null")


def of_result(value: Any, *, max_bytes: int) -> Outcome:
    """Succeeded with `value` as JSON; or, if it cannot be kept as JSON, an error that is permanent: the effect is there, and
    a repetition would return the same.

    msgspec decides what is JSON (structs, dataclasses, datetimes, UUIDs … are): NaN and the infinities become null, bytes
    base64. Not kept: other objects, lone surrogates, more than `max_bytes`, deeper than 64, numbers beyond 4,300 digits.
    """
    if value is None:
        return _NULL
    try:
        result = msgspec.json.encode(value)
        if len(result) > max_bytes:
            return of_unkept(f"it takes {len(result)} bytes, and at most {max_bytes} are kept (RESULT_MAX_BYTES)")
        # A msgspec.Raw within is written as it is, even if it is no JSON at all.
        decoded = msgspec.json.decode(result)
        if result.count(b"[") + result.count(b"{") > MAX_NESTING and _is_deep(decoded):
            return of_unkept(f"it is nested deeper than {MAX_NESTING}")
    except BaseException as exc:  # noqa: BLE001 - encoding runs code of the value's own
        return of_unkept(msgspec.json.decode(error_text(exc), type=str))
    return Succeeded(result)


def of_unkept(reason: str) -> Errored:
    """An error that is permanent: the effect is there, and what the code gave for it is of no use, now or another time."""
    return Errored(
        msgspec.json.encode(safe_text(f"the job was done, but its result cannot be kept: {reason}")), permanent=True
    )


def _is_deep(decoded: Any) -> bool:
    level = [decoded]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def of_error(exc: BaseException, context: Context) -> Outcome:
    """Errored; or Stopped if the code had been told to stop, unless it says itself that this is permanent or how long to wait.

    The place where an unexpected error was raised is logged, since the outcome has only its text.
    """
    error = error_text(exc)
    raised = leaves(exc)
    if any(isinstance(one, PermanentError) for one in raised):
        return Errored(error, permanent=True)
    waits = [_seconds(one) for one in raised if isinstance(one, RetryLater)]
    if waits:
        return Errored(error, retry_after=max((wait for wait in waits if wait is not None), default=None))
    if context.should_stop:
        return Stopped(error)
    with suppress(Exception):  # a log that fails must not cost the outcome
        frames = [
            f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in walk_tb(exc.__traceback__)
        ]
        context.log.warning(
            "the code of the job type raised",
            extra={"error": msgspec.json.decode(error), "where": frames[-_MAX_FRAMES:]},
        )
    return Errored(error)


def _seconds(exc: RetryLater) -> float | None:
    """The wait that was asked for, at most MAX_RETRY_AFTER. None (the usual wait) for what is no such number."""
    try:
        asked = exc.seconds
        if asked is None:
            return None
        seconds = float(min(asked, MAX_RETRY_AFTER))
    except BaseException:  # noqa: BLE001 - any object may stand there
        return None
    return None if math.isnan(seconds) or seconds < 0 else seconds


def of_unfit_payload(exc: BaseException, *, job_type: str) -> Errored:
    """The payload does not fit the type that the job type names; an ordinary error."""
    reason = str(exc) if isinstance(exc, msgspec.DecodeError) else msgspec.json.decode(error_text(exc), type=str)
    return Errored(msgspec.json.encode(safe_text(f"the payload does not fit {job_type}: {reason}")))
