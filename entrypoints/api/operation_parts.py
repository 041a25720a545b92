"""What several operations of the API share, for its documentation: parameters, headers, contents and problems."""

from __future__ import annotations

from typing import Any

from domain.events import EVENT_TYPES, PRIORITIES
from domain.job import STATUSES
from domain.tags import MAX_TAG_LENGTH
from entrypoints.api.job_options import TAG_PATTERN
from entrypoints.api.list_query import DEFAULT_LIMIT, MAX_LIMIT
from entrypoints.api.preferences import MAX_WAIT
from entrypoints.api.problems import (
    BODY_TOO_LARGE,
    INVALID_IF_MATCH,
    INVALID_JOB_ID,
    INVALID_REASON,
    JOB_NOT_FOUND,
    MALFORMED_JSON,
    NOT_JSON,
    STATE_FORBIDS,
    UNAVAILABLE,
    VERSION_MISMATCH,
)

JsonObject = dict[str, Any]

# What the texts of a request are, as far as a pattern can say it: regular expressions of ECMA-262, as JSON Schema wants them.
_POSITION_PATTERN = "^[0-9]+$"
_NO_NUL = "^[^\\u0000]*$"
_IDEMPOTENCY_KEY = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--:<-\[\]-~]{1,255})$'
_ENTITY_TAG = r'(W/)?"[!#-~]*"'
_ENTITY_TAGS = rf"^(\*|{_ENTITY_TAG}([ \t]*,[ \t]*{_ENTITY_TAG})*)$"
_EVENT_TYPE = f"({'|'.join(EVENT_TYPES)})"

JOB_ID: JsonObject = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The job's id.",
    "schema": {"type": "string", "format": "uuid"},
    "example": "0190f5fe-7c00-7a00-8000-000000000000",
}
INCLUDE: JsonObject = {
    "name": "include",
    "in": "query",
    "required": False,
    "description": "`payload`: the answer holds the payload too, byte for byte as it was sent.",
    "schema": {"type": "string", "enum": ["payload"]},
}
AS_OF: JsonObject = {
    "name": "asOf",
    "in": "query",
    "required": False,
    "description": (
        "The job as it was then. A position of the log: right after that event, so the answer never changes. Or a time with its "
        "offset (RFC 3339): after everything recorded by then, that millisecond included. Before the job's creation, at a "
        "position beyond the newest event's, and at a time that is yet to come by the database's clock: 404. Contents that were "
        "erased since are null."
    ),
    "schema": {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": _POSITION_PATTERN},
        ]
    },
    "examples": {
        "time": {"summary": "A time", "value": "2026-01-27T10:30:00.000Z"},
        "position": {"summary": "A position of the log", "value": "4711"},
    },
}
KEY: JsonObject = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "A string that the client makes up for one job (draft-ietf-httpapi-idempotency-key-header), in double quotes or bare, "
        "of at most 255 characters. Sent again with the same body, it gives the same job and answer, and creates nothing; "
        "with another body, 422. Keys are kept for a day (IDEMPOTENCY_KEY_HOURS). After a 503 or a lost connection it is safe "
        "to send the request again only with a key."
    ),
    "schema": {"type": "string", "pattern": _IDEMPOTENCY_KEY},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
}
TEXT: JsonObject = {"type": "string"}
PREFER: JsonObject = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": (
        f"`wait=` and seconds, {MAX_WAIT} at most (RFC 7240): the answer comes when the job has ended, or with what there "
        "is when the time is up."
    ),
    "schema": TEXT,
    "example": "wait=30",
}
APPLIED: dict[str, JsonObject] = {
    "Preference-Applied": {"description": "`wait=` and the seconds that were waited at most.", "schema": TEXT}
}
ETAG: dict[str, JsonObject] = {
    "ETag": {
        "description": "The job's version, for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    }
}
TRACEPARENT: JsonObject = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "description": (
        "The trace that the request belongs to (W3C Trace Context). Its id is kept with the job, and stands in the log lines of "
        "all processes. One that is not valid counts as none, and then an id is made here."
    ),
    "schema": TEXT,
    "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
TRACED: dict[str, JsonObject] = {
    "traceresponse": {
        "description": "The id of the trace, whoever made it, in the form of `traceparent`.",
        "required": True,
        "schema": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    }
}
IF_MATCH: JsonObject = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The job's `ETag` as the caller knows it: where the job has moved on since, nothing is done; 412.",
    "schema": {"type": "string", "pattern": _ENTITY_TAGS},
    "example": '"3"',
}
COMMAND_PROBLEMS = (
    INVALID_JOB_ID,
    INVALID_REASON,
    INVALID_IF_MATCH,
    MALFORMED_JSON,
    JOB_NOT_FOUND,
    STATE_FORBIDS,
    VERSION_MISMATCH,
    BODY_TOO_LARGE,
    NOT_JSON,
    UNAVAILABLE,
)


def query(name: str, description: str, schema: JsonObject, example: str | int | None = None) -> JsonObject:
    """A parameter of the query."""
    described: JsonObject = {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }
    return described if example is None else {**described, "example": example}


LIST: tuple[JsonObject, ...] = (
    query("status", "Only jobs of this status.", {"type": "string", "enum": list(STATUSES)}, "failed"),
    query(
        "type", "Only jobs of this type, installed or not.", {**TEXT, "minLength": 1, "pattern": _NO_NUL}, "CSV_EXPORT"
    ),
    query("priority", "Only jobs of this priority.", {"type": "string", "enum": list(PRIORITIES)}, "high"),
    query(
        "tag",
        "Only jobs with this tag.",
        {**TEXT, "minLength": 1, "maxLength": MAX_TAG_LENGTH, "pattern": TAG_PATTERN},
        "order-4711",
    ),
    query(
        "createdAfter",
        "Only jobs that were created at this time (RFC 3339, with its offset) or later.",
        {"type": "string", "format": "date-time"},
        "2026-01-27T00:00:00Z",
    ),
    query(
        "createdBefore",
        "Only jobs that were created before this time.",
        {"type": "string", "format": "date-time"},
        "2026-01-28T00:00:00Z",
    ),
    query(
        "limit",
        "At most so many jobs a page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    query(
        "cursor", "Where the page begins: as it stands in `next`, and nothing to make up.", {**TEXT, "format": "uuid"}
    ),
)

RESULT: dict[str, JsonObject] = {
    "text/csv": {"schema": TEXT},
    "application/json": {"schema": {}},
    "application/octet-stream": {"schema": TEXT},
}
RESULT_HEADERS: dict[str, JsonObject] = {
    "ETag": {"description": "Changes with the bytes.", "required": True, "schema": TEXT},
    "Last-Modified": {"description": "Of a file.", "schema": TEXT},
    "Content-Disposition": {"description": "The name of a file.", "schema": TEXT},
    "Repr-Digest": {"description": "SHA-256 of the whole, as the job recorded it (RFC 9530).", "schema": TEXT},
    "Accept-Ranges": {
        "description": "Ranges of bytes can be asked for.",
        "schema": {"type": "string", "const": "bytes"},
    },
}


def header(name: str, description: str, example: str) -> JsonObject:
    """A header of the request."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": TEXT,
        "example": example,
    }


AFTER = query("after", "Only events after this position of the log.", {"type": "integer", "minimum": 0}, 4711)
LAST_EVENT_ID: JsonObject = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The same, as clients of Server-Sent Events send it when they resume; it counts more than `after`.",
    "schema": {**TEXT, "pattern": _POSITION_PATTERN},
    "example": "4711",
}
TYPES_OF_EVENTS = query(
    "type",
    f"Only events of these types, separated by commas: {', '.join(f'`{name}`' for name in EVENT_TYPES)}.",
    {**TEXT, "pattern": f"^{_EVENT_TYPE}(,{_EVENT_TYPE})*$"},
    "Completed,Failed",
)
EVENT_LINES: dict[str, JsonObject] = {
    "application/x-ndjson": {"schema": TEXT},
    "text/event-stream": {"schema": TEXT},
}
