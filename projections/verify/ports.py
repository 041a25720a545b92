"""What verifying asks of the database and of the queue: questions about pages of the log and ranges of jobs, and their answers.

Every answer is of one moment, and small: violations are rare, and a page or a range is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.errors import JobledgerError
from domain.events import RecordedEvent
from domain.job import Job
from projections.counts import LogCounter


class UnreadableData(JobledgerError):
    """The data of some event makes a question unanswerable: asked without its job, it can be answered."""

    code = "unreadable_data"


class JobRange(Struct, frozen=True, kw_only=True):
    """The jobs above `after` (None: from the lowest on) up to `last`; where `ids` is given, only those of them."""

    after: str | None
    last: str
    ids: Sequence[str] | None = None
    unreadable: Sequence[str] = ()  # jobs left out, since no statement can read their data


class Standing(Struct, frozen=True):
    """Where everybody is. None: the row is missing."""

    head: int
    checkpoint: int | None
    relayed: int | None
    below_first: Sequence[int]  # positions below 1


class Trigger(Struct, frozen=True, rename="camel"):
    """A trigger on the log. `events`: the bits of pg_trigger.tgtype. `enabled`: 'A' means always."""

    name: str
    enabled: str
    events: int
    function: str
    unconditional: bool


class Protection(Struct, frozen=True):
    """What keeps the log as it is, as the catalogs say it."""

    triggers: Sequence[Trigger]
    has_own_function: bool  # what the triggers call is what the migrations wrote
    unique_keys: Sequence[Sequence[str]]  # columns
    grants: Sequence[tuple[str, str]]  # role and privilege to write, beside the owner's
    rules: Sequence[str]
    transitions: frozenset[tuple[str, str]]


class OutOfOrder(Struct, frozen=True, rename="camel"):
    """An event whose position is not the next, or whose time is before that of the event before it."""

    job_id: str
    version: int
    position: int
    position_before: int
    recorded_at: datetime
    recorded_before: datetime | None


class LogPage(Struct, frozen=True):
    """What one page of the log is."""

    events: int
    last: int  # the highest position there
    digest: bytes  # SHA-256
    may_have_losses: bool
    out_of_order: Sequence[OutOfOrder]


class HastyLoss(Struct, frozen=True):
    """An attempt given up as lost, `silence` seconds after its worker's last event."""

    job_id: str
    version: int
    position: int
    worker: str
    silence: float


class EventFacts(Struct, frozen=True, rename="camel"):
    """What an event says, and what the events before it make of it: `starts` and `counted` are recounted from them."""

    place: int
    type1: str
    position1: int | None
    attempt: str | None
    worker: str | None
    starts: int
    started_attempt: str | None
    started_worker: str | None
    used: str | None
    counted: int
    maximum: int | None
    recorded_at: str
    due: str | None
    outcome: str | None
    wait: str | None
    policy_wait: float | None


class BrokenEvent(Struct, frozen=True):
    """An event that breaks rules of its job's stream: the names of the checks, and the facts that say why."""

    job_id: str
    version: int
    position: int
    type: str
    broken: Sequence[str]
    facts: EventFacts


class RowDifference(Struct, frozen=True):
    """A job whose row is not what the log says. What may be personal is among `columns`, never among the values."""

    job_id: str
    version: int
    position: int | None
    is_in_log: bool
    is_in_table: bool
    columns: Sequence[str]
    in_table: dict[str, object]
    in_log: dict[str, object]


class Unfinished(Struct, frozen=True):
    """A job that is neither over nor due in the future."""

    job_id: str
    version: int
    position: int
    type: str


class Unreadable(Struct, frozen=True):
    """An event that no reader of this release can read."""

    job_id: str
    version: int
    position: int
    problem: str


class WaitRules(Struct, frozen=True, kw_only=True):
    """What waits between attempts may be, in seconds. `policy_only`: no job type asks for waits of its own."""

    base: float
    cap: float
    longest_asked: float
    policy_only: bool = False


class LogAuditor(LogCounter, Protocol):
    """One connection to the database of a log. Raises Unavailable; UnreadableData where data makes a question unanswerable."""

    async def standing(self) -> Standing:
        """Where everybody is now."""

    async def protection(self) -> Protection:
        """What keeps the log as it is."""

    async def log_page(self, first: int, last: int) -> LogPage:
        """The events from position `first` to `last`."""

    async def hasty_losses(
        self, first: int, last: int, *, liveness: float, unreadable: Sequence[str] = ()
    ) -> list[HastyLoss]:
        """Attempts lost in a page of the log though their worker was heard of less than `liveness` seconds before."""

    async def losses_of(self, first: int, last: int) -> list[str]:
        """The jobs that have an attempt in a page of the log which ended without success, or were cancelled in it."""

    async def bounds(self, *, upto: int, step: int) -> list[str]:
        """Ids that cut the jobs of the log up to `upto` into parts of about `step` events each, in order."""

    async def touched(self, first: int, last: int, *, upto: int) -> list[str]:
        """The jobs whose newest event, up to `upto`, lies in a page of the log."""

    async def suspects(self, jobs: JobRange, *, upto: int) -> list[str]:
        """The jobs that have to be looked at closely: all but those of the plainest kind, of which everything holds."""

    async def broken_events(self, jobs: JobRange, *, first: int, upto: int, waits: WaitRules) -> list[BrokenEvent]:
        """The events from `first` to `upto` that break a rule of their job's stream, judged by its history up to `upto`."""

    async def row_differences(self, jobs: JobRange) -> list[RowDifference]:
        """The jobs whose row is not the fold of the log at the checkpoint of the same moment."""

    async def unfinished(self, jobs: JobRange, *, upto: int) -> list[Unfinished]:
        """The jobs that are neither over nor due in the future."""

    async def histories(self, jobs: JobRange, *, upto: int) -> tuple[list[RecordedEvent], list[Unreadable]]:
        """All events of the jobs up to `upto`, job by job in order of versions, and those that cannot be read."""

    async def folded(self, jobs: JobRange, *, upto: int) -> list[Job]:
        """What the fold in SQL makes of the jobs up to `upto`."""


class QueueAuditor(Protocol):
    """A look at the queue."""

    async def remains(self) -> list[str]:
        """A sentence for each stream that holds entries, or has some pending. Raises Unavailable."""
