"""Whole values of the API's models, as on the wire: its documentation shows them, and tests hold them against the schemas."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from entrypoints.api.models import (
    JOB_ID,
    BatchAnswer,
    BatchItem,
    BatchJob,
    EventList,
    EventView,
    FieldError,
    HealthView,
    History,
    JobAccepted,
    JobList,
    JobSummary,
    JobView,
    Liveness,
    LoggedEventView,
    NewJob,
    PartView,
    ProblemDocument,
    ProgressView,
    Readiness,
    Reason,
)

_WHEN = {"createdAt": "2026-01-27T10:30:00.000Z", "updatedAt": "2026-01-27T10:30:05.000Z"}
CSV_PAYLOAD = {
    "data": [
        {"id": 1, "name": "venkat", "email": "venkat@example.com"},
        {"id": 2, "name": "sai", "email": "sai@example.com"},
    ]
}
EXAMPLES: dict[type[Struct], list[dict[str, Any]]] = {
    NewJob: [
        {"type": "CSV_EXPORT", "priority": "high", "payload": CSV_PAYLOAD},
        {
            "type": "CSV_EXPORT",
            "payload": CSV_PAYLOAD,
            "runAt": "2026-01-28T02:00:00+01:00",
            "maxAttempts": 5,
            "timeoutSeconds": 600,
            "tags": ["nightly", "customer 4711"],
        },
    ],
    BatchJob: [
        {"type": "CSV_EXPORT", "payload": CSV_PAYLOAD, "idempotencyKey": "order-4711"},
        {"type": "CSV_EXPORT", "payload": CSV_PAYLOAD, "priority": "high", "tags": ["nightly"]},
    ],
    JobAccepted: [{"jobId": JOB_ID}],
    JobView: [
        {
            "id": JOB_ID,
            "type": "CSV_EXPORT",
            "status": "completed",
            "priority": "high",
            "attempts": 1,
            "result": {"filePath": f"/srv/output/{JOB_ID}.csv", "rows": 2},
            "error": None,
            **_WHEN,
            "maxAttempts": 3,
            "version": 3,
            "dueAt": None,
            "tags": ["nightly"],
        }
    ],
    ProgressView: [
        {"attempt": 1, "fraction": 0.4, "note": "4000 of 10000 rows written", "at": "2026-01-27T10:30:04.000Z"}
    ],
    Reason: [{"reason": "the customer withdrew the order"}],
    EventView: [
        {
            "position": 4711,
            "version": 2,
            "type": "Started",
            "data": {"attempt": 1, "worker": "worker-1"},
            "content": None,
            "actor": "worker-1",
            "recordedAt": "2026-01-27T10:30:00.004Z",
            "status": "processing",
        }
    ],
    JobSummary: [
        {
            "id": JOB_ID,
            "type": "CSV_EXPORT",
            "status": "failed",
            "priority": "high",
            "attempts": 3,
            "error": "ValueError: payload.data must be a list of objects: Expected `array`, got `str`",
            **_WHEN,
            "maxAttempts": 3,
            "version": 9,
            "dueAt": None,
            "tags": ["order-4711"],
        }
    ],
    FieldError: [
        {
            "field": "priority",
            "detail": "must be one of high, default",
            "pointer": "#/priority",
            "allowed": ["high", "default"],
        }
    ],
    PartView: [{"status": "ok", "lag": 0, "lagSeconds": 0.0}],
    Readiness: [{"status": "ready", "reasons": []}],
    Liveness: [{"status": "ok"}],
}
EXAMPLES[LoggedEventView] = [{**EXAMPLES[EventView][0], "jobId": JOB_ID, "jobType": "CSV_EXPORT"}]
EXAMPLES[EventList] = [{"events": EXAMPLES[LoggedEventView], "next": "/events?after=4711&limit=100", "head": 4711}]
EXAMPLES[JobList] = [{"jobs": EXAMPLES[JobSummary], "next": f"/jobs?status=failed&cursor={JOB_ID}"}]
EXAMPLES[History] = [{"events": EXAMPLES[EventView]}]
EXAMPLES[ProblemDocument] = [
    {
        "type": "/schema#invalid-body",
        "title": "The body is not a job",
        "status": 400,
        "detail": "priority: must be one of high, default",
        "instance": "/jobs",
        "errors": EXAMPLES[FieldError],
    }
]
_REFUSED = {
    "status": 400,
    "problem": {
        "type": "/schema#invalid-body",
        "title": "The body is not a job",
        "status": 400,
        "detail": "payload is missing: send null if the job type needs none",
        "instance": "/jobs/batch",
    },
}
EXAMPLES[BatchItem] = [{"status": 201, "jobId": JOB_ID}, {"status": 201, "jobId": JOB_ID, "replayed": True}, _REFUSED]
EXAMPLES[BatchAnswer] = [{"created": 1, "replayed": 1, "refused": 1, "items": EXAMPLES[BatchItem]}]
EXAMPLES[HealthView] = [
    {
        "status": "ok",
        "degraded": ["workers"],
        "parts": {
            "postgres": {"status": "ok"},
            "redis": {"status": "ok", "reportedAt": "2026-01-27T10:30:00.000Z"},
            "dispatcher": {"status": "ok", "detail": "dispatcher-1", "lag": 0},
            "projector": {"status": "ok", "lag": 3, "lagSeconds": 0.012},
            "workers": {"status": "missing", "count": 0},
        },
        "access": "keys",
    }
]
