"""What a job type is: a name, a function, and its limits. This is what an author of one writes against."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from logging import LoggerAdapter
from typing import Any, Literal, Protocol

from msgspec import Struct

RunsIn = Literal["loop", "thread", "process"]


class PermanentError(Exception):
    """Raised by a handler: no further attempt can help, so the job fails now."""


class RetryLater(Exception):
    """Raised by a handler: the attempt did not succeed; try again after `seconds` (None: after the usual wait).

    Such an attempt counts and its error is kept even where it was told to stop, as when its worker shuts down.
    """

    def __init__(self, message: str, *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Context(Protocol):
    """What a handler knows of the attempt that it runs."""

    @property
    def job_id(self) -> str: ...

    @property
    def attempt(self) -> int:
        """1 for the first attempt. An effect may already be there from an earlier one."""

    @property
    def created_at(self) -> datetime:
        """When the job was created: the same on every attempt, with a time zone."""

    @property
    def log(self) -> LoggerAdapter[Any]:
        """A logger whose lines carry the job's id, attempt and trace."""

    @property
    def trace_id(self) -> str | None:
        """The trace that the job was posted in (W3C Trace Context: 32 hexadecimal digits), to pass it on to what is called."""

    @property
    def should_stop(self) -> bool:
        """Whether the attempt has timed out, was cancelled, or its worker shuts down: plain functions ask now and then."""

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the work is, from 0 to 1, and in up to 200 characters what is done: seen by who asks for the job.

        Cheap, as often as you like: only the newest is kept, only while the attempt runs, and shown a few times a second.
        Raises ValueError for a number outside 0 to 1, TypeError for what is none or a note that is no text.
        """


class JobType(Struct, frozen=True):
    """A kind of job that workers can run.

    `run(payload, context)` is async, or plain, then run in a thread; with `runs_in="process"` each attempt has a process
    of its own (for work that keeps a CPU busy). What it returns must be JSON-able (msgspec.json.encode) and becomes the
    result. Any exception is an attempt that failed. Effects must bear repetition: an attempt can be lost after its effect.

    With `batch` above 1 one call serves up to so many jobs: `run(payloads, contexts)` gets two lists of equal length and
    returns a list with the result, or the exception, of each. What it raises is the error of each.
    """

    name: str
    run: Callable[..., Any]
    payload: Any = Any  # a type that msgspec can decode; a payload that does not fit is an ordinary error
    runs_in: RunsIn = "thread"
    timeout: float | None = None  # seconds an attempt may take; None: JOB_TIMEOUT_SECONDS
    max_attempts: int | None = None  # None: MAX_ATTEMPTS
    batch: int = 1  # jobs in one call at most
