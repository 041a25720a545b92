"""One attempt's code as the worker sees it: what it is given, how it is told to stop, what became of it.

No record of it is made here (that is a command's business), and nothing here starts a task, thread or process.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime
from logging import LoggerAdapter, getLogger
from typing import Any, Protocol

from msgspec import Struct

from domain.progress import checked_progress

# The lines of job types themselves; each carries `job_id`, `attempt`, `position` and `trace_id` as fields of the record.
_logger = getLogger("jobledger.job")


class Succeeded(Struct, frozen=True, tag=True):
    """The code returned. `result`: valid JSON, within the size limit."""

    result: bytes


class Errored(Struct, frozen=True, tag=True):
    """The code raised, died, or returned what cannot be kept. `error`: a JSON string without NUL or lone surrogates.

    `permanent`: no further attempt can help. `retry_after`: the seconds that the code asked to wait, 0 to 30 days. `died`: it
    took the process of its own that it ran in along, so it must not run beside others next time either.
    """

    error: bytes
    permanent: bool = False
    retry_after: float | None = None
    died: bool = False


class Stopped(Struct, frozen=True, tag=True):
    """The code ended without success because it was told to stop. `error`: how it ended, as in Errored."""

    error: bytes


Outcome = Succeeded | Errored | Stopped


class AttemptRunner(Protocol):
    """Runs one attempt's code to its end."""

    async def run(self, job_type: str, payload: bytes, context: AttemptContext, *, isolated: bool = False) -> Outcome:
        """Run the code of `job_type` on `payload` (JSON) and say what became of it; whatever the code does, it is a value.

        To stop it: `context.stop()`, then cancel the task that awaits this; it returns only when the code has ended. Async
        code meets the cancellation where it waits; code that swallows it and returns has Succeeded, since its effect is
        there. A plain function sees `context.should_stop`; until it ends, this goes on waiting. A process that has not
        ended after a grace is killed. A second cancellation gives up waiting (CancelledError): a thread then runs on.

        `isolated`: in a process of its own, wherever the type usually runs. Raises UnknownJobType; CancelledError also
        when the task was cancelled without `context.stop()`, once the code has ended. (A task that is cancelled before its
        first step never calls this at all, and is cancelled: nothing ran.)
        """

    async def run_batch(
        self, job_type: str, payloads: Sequence[bytes], contexts: Sequence[AttemptContext]
    ) -> list[Outcome]:
        """Run the code of `job_type`, which takes batches, once for all of them, and say what became of each, in order.

        As `run`, but that code which is to stop is cancelled only when each of its attempts has been told to: until then it
        sees `should_stop` of those it concerns.
        """


class AttemptContext:
    """The Context that a handler gets. Made thousands of times a second, so the logger comes only when asked for."""

    __slots__ = ("_log", "attempt", "created_at", "job_id", "latest_progress", "position", "should_stop", "trace_id")

    def __init__(
        self, job_id: str, attempt: int, created_at: datetime, *, position: int = 0, trace_id: str | None = None
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.created_at = created_at
        self.position = position  # of the event that started it
        self.trace_id = trace_id
        self.should_stop = False
        self.latest_progress: tuple[float, str] | None = None
        self._log: LoggerAdapter[Any] | None = None

    def stop(self) -> None:
        """Tell the code to stop (`should_stop` becomes true). May be called from any thread, and again."""
        self.should_stop = True

    @property
    def log(self) -> LoggerAdapter[Any]:
        """See Context.log."""
        if self._log is None:
            self._log = _AttemptLog(_logger, self.names())
        return self._log

    def names(self) -> dict[str, object]:
        """What a line about this attempt says of it, so that it can be followed through the logs of all processes."""
        names: dict[str, object] = {"job_id": self.job_id, "attempt": self.attempt, "position": self.position}
        if self.trace_id is not None:
            names["trace_id"] = self.trace_id
        return names

    def progress(self, fraction: float, note: str = "") -> None:
        """See Context.progress. May be called from any thread; nothing but the newest is kept."""
        self.latest_progress = checked_progress(fraction, note)


class _AttemptLog(LoggerAdapter[Any]):
    """Adds the ids to the fields of a line; LoggerAdapter would replace those that the caller gives as `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs
