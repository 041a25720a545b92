"""The shapes of what the API takes and gives, with what its documentation says of them. Examples: `model_examples.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from domain.events import Priority
from domain.job import Status
from domain.progress import MAX_NOTE_LENGTH
from domain.reason import MAX_REASON_LENGTH
from entrypoints.api.job_options import DelaySeconds, IdempotencyKey, MaxAttempts, RunAt, Tags, TimeoutSeconds

JOB_ID = "0190f5fe-7c00-7a00-8000-000000000000"

JobId = Annotated[
    str, Meta(description="The job's id, a UUID.", examples=[JOB_ID], extra_json_schema={"format": "uuid"})
]
Timestamp = Annotated[
    str,
    Meta(
        description="A moment in UTC, to the millisecond (RFC 3339).",
        examples=["2026-01-27T10:30:00.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]


class NewJob(Struct, frozen=True, rename="camel"):
    """A job to be done. Fields that are not listed here are ignored."""

    type: Annotated[str, Meta(description="One of the installed job types.")]
    payload: Annotated[
        Raw,
        Meta(
            description="What the job type needs: any JSON value (`null` if it needs nothing), nested at most 64 deep. "
            "It is kept byte for byte and judged only when the job runs."
        ),
    ]
    priority: Annotated[
        Priority, Meta(description="No `default` job starts while a `high` one waits in its queue.")
    ] = "default"
    run_at: RunAt = None
    delay_seconds: DelaySeconds = None
    max_attempts: MaxAttempts = None
    timeout_seconds: TimeoutSeconds = None
    tags: Tags = None


class BatchJob(NewJob, frozen=True):
    """A job of a batch: like one that is posted alone, and the key that would be its header."""

    idempotency_key: IdempotencyKey = None


class JobAccepted(Struct, frozen=True, rename="camel"):
    """The job is kept durably and will run."""

    job_id: JobId
    job: (
        Annotated[JobView, Meta(description="Only with `Prefer: wait=`: the job at its end, or when the time was up.")]
        | UnsetType
    ) = UNSET


class ProgressView(Struct, frozen=True):
    """How far the attempt that runs is, as its code said last. It is kept only while the attempt runs."""

    attempt: Annotated[int, Meta(description="Which attempt: 1 for the first.", ge=1)]
    fraction: Annotated[float, Meta(description="How much of the work is done.", ge=0, le=1)]
    note: Annotated[str, Meta(description="What is done, in words; may be empty.", max_length=MAX_NOTE_LENGTH)]
    at: Annotated[Timestamp, Meta(description="When that came to be shown.")]


class JobView(Struct, frozen=True, rename="camel"):
    """A job as of its newest event, never older than what the caller has seen; with `asOf`, as it was then."""

    id: JobId
    type: Annotated[str, Meta(description="The job type.")]
    status: Annotated[
        Status,
        Meta(description="`pending` also between two attempts. `completed`, `failed` and `cancelled` are ends."),
    ]
    priority: Annotated[Priority, Meta(description="The queue that it waits in.")]
    attempts: Annotated[int, Meta(description="How many attempts have started.", ge=0)]
    result: Annotated[Raw, Meta(description="What the job type answered; null until completed.")]
    error: Annotated[
        Raw,
        Meta(
            description="Why the last attempt failed, also between attempts; null otherwise.",
            extra_json_schema={"type": ["string", "null"]},
        ),
    ]
    created_at: Timestamp
    updated_at: Timestamp
    max_attempts: Annotated[int, Meta(description="How many attempts there may be in all.", ge=1)]
    version: Annotated[int, Meta(description="Number of the job's newest event: 1, 2, 3 …; its `ETag` too.", ge=1)]
    due_at: Annotated[Timestamp | None, Meta(description="When its wait is over; null unless it waits.")]
    tags: Annotated[tuple[str, ...], Meta(description="What its creator called it by.")]
    progress: (
        Annotated[
            ProgressView,
            Meta(
                description="Only from `GET` of the job as it is, while an attempt runs that has said how far it is. It moves "
                "neither `version` nor `updatedAt`."
            ),
        ]
        | UnsetType
    ) = UNSET
    payload: (
        Annotated[
            Raw,
            Meta(description="Only with `?include=payload`: as it was sent, byte for byte; null after it was erased."),
        ]
        | UnsetType
    ) = UNSET


class Reason(Struct, frozen=True):
    """Why a job is cancelled or retried. It stands in the job's history, with who asked for it."""

    reason: Annotated[
        # Judged by the domain, which can say more of what is wrong.
        Annotated[str, Meta(extra_json_schema={"maxLength": MAX_REASON_LENGTH, "pattern": "^[^\\u0000]*$"})] | None,
        Meta(description=f"In words: at most {MAX_REASON_LENGTH} characters."),
    ] = None


class JobSummary(Struct, frozen=True, rename="camel"):
    """A job in a list: as `GET /jobs/{id}` shows it, without its result. Lists may lag behind single jobs by a moment."""

    id: JobId
    type: Annotated[str, Meta(description="The job type.")]
    status: Annotated[Status, Meta(description="`pending` also between two attempts.")]
    priority: Annotated[Priority, Meta(description="The queue that it waits in.")]
    attempts: Annotated[int, Meta(description="How many attempts have started.", ge=0)]
    error: Annotated[
        Raw,
        Meta(
            description="Why the last attempt failed, also between attempts; null otherwise.",
            extra_json_schema={"type": ["string", "null"]},
        ),
    ]
    created_at: Timestamp
    updated_at: Timestamp
    max_attempts: Annotated[int, Meta(description="How many attempts there may be in all.", ge=1)]
    version: Annotated[int, Meta(description="Number of the job's newest event: 1, 2, 3 …", ge=1)]
    due_at: Annotated[Timestamp | None, Meta(description="When its wait is over; null unless it waits.")]
    tags: Annotated[tuple[str, ...], Meta(description="What its creator called it by.")]


class JobList(Struct, frozen=True):
    """A page of jobs, newest first."""

    jobs: Annotated[
        list[JobSummary],
        Meta(
            description="The jobs. There may be fewer than `limit`, or none, though more follow: what a page costs is bounded."
        ),
    ]
    next: Annotated[
        str | None,
        Meta(
            description="Path of the next page, with the same filters; null at the end.",
            examples=[f"/jobs?status=failed&cursor={JOB_ID}", None],
        ),
    ]


class BatchItem(Struct, frozen=True, rename="camel"):
    """What became of one job of a batch."""

    status: Annotated[int, Meta(description="What it would have been answered with alone.", ge=200, le=599)]
    job_id: JobId | UnsetType = UNSET
    replayed: (
        Annotated[bool, Meta(description="An earlier request with this key created it: only where that is so.")]
        | UnsetType
    ) = UNSET
    problem: ProblemDocument | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True):
    """What became of each job of a batch, in the order in which they came."""

    created: Annotated[int, Meta(description="How many were created by this request.", ge=0)]
    replayed: Annotated[int, Meta(description="How many were there already, by their keys.", ge=0)]
    refused: Annotated[int, Meta(description="How many have a problem.", ge=0)]
    items: Annotated[list[BatchItem], Meta(description="One for each job.")]


class EventView(Struct, frozen=True, rename="camel"):
    """One thing that happened to the job. Events are never changed."""

    position: Annotated[int, Meta(description="Place in the log of all jobs, without gaps.", ge=1)]
    version: Annotated[int, Meta(description="Place among the job's own events: 1, 2, 3 …", ge=1)]
    type: Annotated[str, Meta(description="What happened, such as `Created`, `Started`, `Completed`.")]
    data: Annotated[Raw, Meta(description="The facts, by type.", extra_json_schema={"type": "object"})]
    content: Annotated[
        Raw,
        Meta(
            description="The payload (`Created`), result (`Completed`) or error text (`Attempted`, `Failed`, and `Cancelled` "
            "where its attempt was lost), or null."
        ),
    ]
    actor: Annotated[str, Meta(description="Who caused it: a client, a worker, the dispatcher.")]
    recorded_at: Timestamp
    status: Annotated[Status, Meta(description="The job's status after this event.")]


class History(Struct, frozen=True):
    """All that happened to a job, oldest first."""

    events: Annotated[list[EventView], Meta(description="The events, oldest first.")]


class LoggedEventView(EventView, frozen=True, rename="camel", kw_only=True):
    """One thing that happened to some job."""

    job_id: JobId
    job_type: Annotated[str, Meta(description="The type of the job.")]


class EventList(Struct, frozen=True):
    """A page of what happened to all jobs, in the order in which it did."""

    events: Annotated[
        list[LoggedEventView],
        Meta(description="The events. There may be fewer than `limit`, or none, though more follow."),
    ]
    next: Annotated[str, Meta(description="Path of what follows, now or later, with the same filters.")]
    head: Annotated[
        int, Meta(description="The newest position of the log: `next` leads on at once until it is reached.", ge=0)
    ]


class FieldError(Struct, frozen=True):
    """What is wrong with one field, parameter or header."""

    field: Annotated[str, Meta(description="Its name.")]
    detail: Annotated[str, Meta(description="What is wrong with it, for people.")]
    pointer: (
        Annotated[str, Meta(description="Where it is, or is missing, in the body (RFC 6901, as a URI fragment).")]
        | UnsetType
    ) = UNSET
    allowed: (
        Annotated[list[str], Meta(description="The values that are allowed, if they can be listed.")] | UnsetType
    ) = UNSET


class ProblemDocument(Struct, frozen=True):
    """What is wrong (RFC 9457)."""

    type: Annotated[
        str,
        Meta(description="Says which kind of problem it is; stable.", extra_json_schema={"format": "uri-reference"}),
    ]
    title: Annotated[str, Meta(description="The kind in words.")]
    status: Annotated[int, Meta(description="The HTTP status.", ge=400, le=599)]
    detail: Annotated[str, Meta(description="What is wrong this time.")]
    instance: Annotated[
        str, Meta(description="The path that was asked for.", extra_json_schema={"format": "uri-reference"})
    ]
    errors: Annotated[list[FieldError], Meta(description="Each field that is wrong.")] | UnsetType = UNSET
    state: (
        Annotated[str, Meta(description="Where the job is: the type of its newest event, such as `Completed`.")]
        | UnsetType
    ) = UNSET
    version: Annotated[int, Meta(description="The job's version.", ge=1)] | UnsetType = UNSET
    allowed: (
        Annotated[list[Literal["cancel", "retry"]], Meta(description="What the job's state allows now.")] | UnsetType
    ) = UNSET


class PartView(Struct, frozen=True, rename="camel"):
    """The state of one part of the service. Parts have the measures that make sense for them."""

    status: Annotated[str, Meta(description="`ok`, or in a word what is wrong.")]
    detail: Annotated[str, Meta(description="What is known beyond that.")] | UnsetType = UNSET
    lag: Annotated[int, Meta(description="Events by which it is behind the log.", ge=0)] | UnsetType = UNSET
    lag_seconds: (
        Annotated[float, Meta(description="Age of the oldest event that it has not seen, in seconds.", ge=0)]
        | UnsetType
    ) = UNSET
    count: Annotated[int, Meta(description="How many there are.", ge=0)] | UnsetType = UNSET
    reported_at: Timestamp | UnsetType = UNSET


class HealthView(Struct, frozen=True):
    """How the service is. The API can do its work as long as PostgreSQL can."""

    status: Annotated[
        Literal["ok", "unavailable"], Meta(description="Whether the API can do its work: take jobs and tell of them.")
    ]
    degraded: Annotated[list[str], Meta(description="Names of the parts that are not ok.")]
    parts: Annotated[dict[str, PartView], Meta(description="Each part by name.")]
    access: Annotated[
        Literal["open", "keys"],
        Meta(description="`open`: no API key was ever made, and everyone who reaches this API may do everything."),
    ]


class Readiness(Struct, frozen=True):
    """Whether requests should be sent here."""

    status: Annotated[Literal["ready", "not ready"], Meta(description="In a word.")]
    reasons: Annotated[list[str], Meta(description="Why not; empty when ready.")]


class Liveness(Struct, frozen=True):
    """The process lives and answers."""

    status: Annotated[Literal["ok"], Meta(description="Always `ok`: a process that is not does not answer.")]
