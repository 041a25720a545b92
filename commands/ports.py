"""What the use cases need of the outside, as protocols. A port has a fake and a real adapter, held by one contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.errors import JobledgerError
from domain.errors import LogDamaged as LogDamaged
from domain.errors import Unavailable as Unavailable
from domain.events import NewEvent, RecordedEvent
from domain.job import Job
from domain.moment import Moment


class RejectedData(JobledgerError):
    """The database refuses what a command carries, such as a text that it cannot store."""

    code = "rejected_data"


class IdempotencyKey(Struct, frozen=True):
    """A client's promise that equal keys mean one job. `digest` is of the request's body, byte for byte."""

    key: str
    digest: bytes


class Append(Struct, frozen=True):
    """One command's events for one job: they stand or fall together, directly after version `expected` (0: a new job)."""

    job_id: str
    expected: int
    events: Sequence[NewEvent]
    actor: str
    key: IdempotencyKey | None = None


class Appended(Struct, frozen=True):
    """The events are in the log. `history`, for a Started: Created and, if there is one, the newest Queued, with contents."""

    position: int  # of the first event
    recorded_at: datetime
    history: tuple[RecordedEvent, ...] = ()


class Conflict(Struct, frozen=True):
    """The job is elsewhere: nothing was appended. `found_type` is the event at the version that was wanted, if any."""

    found_type: str | None
    last_version: int
    last_type: str | None


class Repeated(Struct, frozen=True):
    """The idempotency key was used before: by that job, for a body with that digest. Nothing was appended."""

    job_id: str
    digest: bytes


class Refused(Struct, frozen=True):
    """A Started by a worker that is not registered (any more). Nothing was appended."""


Answer = Appended | Conflict | Repeated | Refused | RejectedData


class EventLog(Protocol):
    """The one way into the log."""

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        """Append each command's events or say why not, in order; one command's fate does not touch its neighbours'.

        When it returns, what was appended is durable; without commands it only sees whether the log can be written. Raises
        Unavailable if nothing of it was appended.
        """


class PastJob(Struct, frozen=True):
    """A job as it was. `payload` is there if it was asked for and its content was not erased since."""

    job: Job
    payload: bytes | None


class JobReader(Protocol):
    """Single jobs, never older than what the log holds at the time of the call."""

    async def find(self, job_id: str) -> Job | None:
        """The job as of the newest event, or None if there is no such job. Raises Unavailable."""

    async def payload(self, job_id: str) -> bytes | None:
        """The payload as it came, or None if there is no such job or its content was erased. Raises Unavailable."""

    async def history(self, job_id: str) -> list[RecordedEvent]:
        """All events of the job in order; empty if there is no such job. Raises Unavailable."""

    async def as_of(self, job_id: str, moment: Moment, *, with_payload: bool = False) -> PastJob | None:
        """The job right after that position, or after all that was recorded by that time; None if there is no such job.

        Raises BeyondHead, BeforeCreation, Unavailable. What a position answers never changes; nor does a time that is over,
        once what was being appended at that millisecond is durable.
        """


class QueueEntry(Struct, frozen=True, array_like=True, gc=False):
    """One entry of a stream. `version` is of the event that made the job ready; `entry_id` is made from its position.

    Encoded as a list (array_like), as scripts take and give it by the thousand.
    """

    stream: str
    entry_id: str
    job_id: str
    version: int
    type: str
    attempt: int
