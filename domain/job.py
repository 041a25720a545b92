"""The job: one state machine, one file. No clock, no I/O.

`TRANSITIONS` is the machine as a table (the database holds the same rows), `evolve` folds one event into the job, and
each verb decides: state in, events out, or IllegalTransition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, assert_never, get_args

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import IllegalTransition
from domain.events import (
    Attempted,
    Cancelled,
    CancelRequested,
    Completed,
    Created,
    Event,
    Failed,
    NewEvent,
    Outcome,
    Priority,
    Queued,
    RecordedEvent,
    Started,
    type_name,
)
from domain.limits import checked_timeout
from domain.retry import RetryPolicy
from domain.tags import checked_tags
from domain.waiting import checked_wait

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)

# (type of the event before, type of the event after); "" is the empty stream. Nothing follows Completed.
TRANSITIONS: frozenset[tuple[str, str]] = frozenset(
    {
        ("", "Created"),
        ("Created", "Started"),
        ("Created", "Queued"),  # a delayed job whose time has come
        ("Created", "Cancelled"),
        ("Queued", "Started"),
        ("Queued", "Cancelled"),
        ("Started", "Completed"),
        ("Started", "Failed"),
        ("Started", "Attempted"),
        ("Started", "CancelRequested"),
        ("Attempted", "Queued"),
        ("Attempted", "Cancelled"),
        ("CancelRequested", "Completed"),
        ("CancelRequested", "Cancelled"),
        ("Failed", "Queued"),  # retried by hand
        ("Cancelled", "Queued"),  # retried by hand
    }
)

STATUS_AFTER: dict[str, Status] = {
    "Created": "pending",
    "Queued": "pending",
    "Started": "processing",
    "CancelRequested": "processing",
    "Attempted": "pending",
    "Completed": "completed",
    "Failed": "failed",
    "Cancelled": "cancelled",
}

# The states in which nothing more happens by itself.
ENDS = frozenset({"Completed", "Failed", "Cancelled"})


class Job(Struct, frozen=True):
    """A job after some event of its stream; field for field a row of the read table `jobs`."""

    id: str
    version: int  # of the newest event
    state: str  # type of the newest event
    type: str
    priority: Priority
    attempts: int  # number of Started, over all lives
    used: int  # attempts of this life that count, as the newest Created, Queued or Attempted says
    max_attempts: int
    created_at: datetime
    updated_at: datetime
    worker: str | None = None  # who runs it; None unless it is running
    outcome: Outcome | None = None  # of the newest attempt that failed (a released one did not)
    result: bytes | None = None  # JSON
    error: bytes | None = None  # JSON string
    due_at: datetime | None = None  # when its wait is over; None unless it waits
    queued_position: int | None = None  # of the event that queued it; None unless it is queued
    tags: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        return STATUS_AFTER[self.state]


def evolve(job: Job | None, recorded: RecordedEvent) -> Job:
    """The job after `recorded`. Raises IllegalTransition for an event that cannot follow: the log is damaged."""
    event = recorded.event
    state = type_name(event)
    if (job.state if job else "", state) not in TRANSITIONS:
        raise IllegalTransition(recorded.job_id, job.state if job else None, f"be {state}")
    at = recorded.recorded_at
    if isinstance(event, Created):
        due = event.run_at if event.delay is None else at + timedelta(seconds=event.delay)
        return Job(
            id=recorded.job_id,
            version=recorded.version,
            state=state,
            type=event.type,
            priority=event.priority,
            attempts=event.attempt - 1,
            used=event.used,
            max_attempts=event.max_attempts,
            created_at=at,
            updated_at=at,
            due_at=due,
            queued_position=recorded.position if due is None else None,
            tags=event.tags,
        )
    assert job is not None  # only ("", "Created") begins with nothing
    # What belongs to the newest event alone is cleared here and set again below by the event that has it.
    moved = replace(
        job, version=recorded.version, state=state, updated_at=at, worker=None, due_at=None, queued_position=None
    )
    match event:
        case Queued():
            # Attempts and outcome repeat what the log said before: so Created and the newest Queued make a whole job.
            return replace(
                moved,
                attempts=event.attempt - 1,
                used=event.used,
                max_attempts=event.max_attempts,
                outcome="lost" if event.isolated else job.outcome,
                queued_position=recorded.position,
            )
        case Started():
            return replace(moved, attempts=event.attempt, worker=event.worker)
        case Attempted():
            moved = replace(moved, used=event.used, due_at=at + timedelta(seconds=event.retry_after))
            if event.outcome == "released":
                return moved
            return replace(moved, outcome=event.outcome, error=recorded.content)
        case Completed():
            return replace(moved, outcome=None, result=recorded.content, error=None)
        case Failed():
            return replace(moved, outcome=event.outcome, error=recorded.content)
        case CancelRequested():
            return replace(moved, worker=job.worker)
        case Cancelled():
            if event.outcome is None:
                return moved
            return replace(moved, outcome=event.outcome, error=recorded.content)
        case _:
            assert_never(event)


def fold(events: Iterable[RecordedEvent], job: Job | None = None) -> Job | None:
    """The job after all of `events`, beginning with `job` (None: with the empty stream)."""
    for event in events:
        job = evolve(job, event)
    return job


def _require(job: Job, wanted: str, event: type[Event]) -> None:
    if (job.state, event.__name__) not in TRANSITIONS:
        raise IllegalTransition(job.id, job.state, wanted)


def _requeued(job: Job, *, used: int, reason: str | None = None) -> Queued:
    return Queued(
        type=job.type,
        priority=job.priority,
        attempt=job.attempts + 1,
        used=used,
        max_attempts=job.max_attempts,
        isolated=job.outcome == "lost",
        reason=reason,
    )


def create(
    *,
    type: str,
    priority: Priority,
    payload: bytes,
    max_attempts: int,
    delay: float | None = None,
    run_at: datetime | None = None,
    timeout: float | None = None,
    tags: Sequence[str] = (),
    trace: str | None = None,
) -> list[NewEvent]:
    """Begin a job. `payload` is JSON, kept byte for byte; at most one of `delay` (seconds) and `run_at` is given.

    Raises InvalidWait, InvalidLimit (of `timeout`) and InvalidTags for what is out of bounds.
    """
    delay, run_at = checked_wait(delay=delay, run_at=run_at)
    event = Created(
        type=type,
        priority=priority,
        attempt=1,
        used=0,
        max_attempts=max_attempts,
        delay=delay,
        run_at=run_at,
        timeout=checked_timeout(timeout),
        tags=checked_tags(tags) if tags else (),
        trace=trace,
    )
    return [NewEvent(event, payload)]


def wake(job: Job) -> list[NewEvent]:
    """Queue a job whose wait is over (that it is over, the caller has from the database's clock)."""
    if job.due_at is None:
        raise IllegalTransition(job.id, job.state, "wake")
    return [NewEvent(_requeued(job, used=job.used))]


def start(job: Job, *, worker: str) -> list[NewEvent]:
    """Let `worker` own the next attempt of a queued job."""
    if job.queued_position is None:
        raise IllegalTransition(job.id, job.state, "start")
    return [NewEvent(Started(attempt=job.attempts + 1, worker=worker))]


def _running_worker(job: Job, wanted: str) -> str:
    if job.worker is None:
        raise IllegalTransition(job.id, job.state, wanted)
    return job.worker


def complete(job: Job, *, result: bytes) -> list[NewEvent]:
    """Close the running attempt with success; `result` is JSON. Also after a CancelRequested: the effect is there."""
    return [NewEvent(Completed(attempt=job.attempts, worker=_running_worker(job, "complete")), result)]


def fail(
    job: Job,
    *,
    outcome: Literal["error", "timeout", "lost"],
    error: bytes,
    policy: RetryPolicy,
    permanent: bool = False,
    retry_after: float | None = None,
) -> list[NewEvent]:
    """Close the running attempt without success: Cancelled if that was asked for, else Attempted or Failed.

    `error` is a JSON string; a Cancelled keeps it, as the outcome, only of a lost attempt. `retry_after`: seconds that the
    handler asked to wait; None: as `policy` says.
    """
    worker = _running_worker(job, "fail")
    if job.state == "CancelRequested":
        if outcome != "lost":
            return [NewEvent(Cancelled(attempt=job.attempts, worker=worker))]
        return [NewEvent(Cancelled(attempt=job.attempts, worker=worker, outcome=outcome), error)]
    used = job.used + 1
    if permanent or used >= job.max_attempts:
        return [NewEvent(Failed(attempt=job.attempts, worker=worker, outcome=outcome, permanent=permanent), error)]
    # Whole milliseconds: the log's clock knows no finer ones.
    wait = round(policy.wait_after(used) if retry_after is None else retry_after, 3)
    closing = Attempted(attempt=job.attempts, worker=worker, outcome=outcome, retry_after=wait, used=used)
    return [NewEvent(closing, error)]


def lose(job: Job, *, policy: RetryPolicy, error: bytes) -> list[NewEvent]:
    """Close the running attempt of a worker that died: it counts, and waits like an error."""
    return fail(job, outcome="lost", error=error, policy=policy)


def release(job: Job) -> list[NewEvent]:
    """Give back the running attempt of a worker that shuts down: not counted, and queued again at once."""
    worker = _running_worker(job, "release")
    if job.state == "CancelRequested":
        return [NewEvent(Cancelled(attempt=job.attempts, worker=worker))]
    closing = Attempted(attempt=job.attempts, worker=worker, outcome="released", retry_after=0.0, used=job.used)
    return [NewEvent(closing), NewEvent(_requeued(job, used=job.used))]


_RETRIED = ("Failed", "Cancelled")
_CANCELLED = tuple(sorted({before for before, after in TRANSITIONS if after == "CancelRequested"})) + tuple(
    # Of a CancelRequested only who closes its attempt may make a Cancelled.
    sorted(before for before, after in TRANSITIONS if after == "Cancelled" and before != "CancelRequested")
)


def commands_allowed(state: str) -> list[Literal["cancel", "retry"]]:
    """What a person may ask of a job in that state (type of its newest event)."""
    if state in _CANCELLED:
        return ["cancel"]
    return ["retry"] if state in _RETRIED else []


def request_cancel(job: Job, *, reason: str | None = None) -> list[NewEvent]:
    """Cancel a job: at once if nothing runs, else by asking its worker, once."""
    if job.state == "Started":
        return [NewEvent(CancelRequested(reason=reason))]
    if job.state == "CancelRequested":
        # Its attempt still runs: only who closes that may write Cancelled.
        raise IllegalTransition(job.id, job.state, "request to cancel")
    return cancel(job, reason=reason)


def cancel(job: Job, *, reason: str | None = None) -> list[NewEvent]:
    """End a job of which no attempt follows: one that waits or is queued, or one whose cancelled attempt has stopped."""
    _require(job, "cancel", Cancelled)
    if job.worker is not None:
        return [NewEvent(Cancelled(attempt=job.attempts, worker=job.worker, reason=reason))]
    return [NewEvent(Cancelled(reason=reason))]


def retry(job: Job, *, reason: str | None = None) -> list[NewEvent]:
    """Let a failed or cancelled job live again: attempts number on, the maximum begins anew."""
    if job.state not in _RETRIED:
        raise IllegalTransition(job.id, job.state, "retry")
    return [NewEvent(_requeued(job, used=0, reason=reason))]
