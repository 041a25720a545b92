"""What can be asked of the API, as a table for its documentation. A test holds it against the routes of the application."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from domain.events import EVENT_TYPES, PRIORITIES
from domain.job import STATUSES
from domain.tags import MAX_TAG_LENGTH
from entrypoints.api import event_query
from entrypoints.api.job_options import TAG_PATTERN
from entrypoints.api.list_query import DEFAULT_LIMIT, MAX_LIMIT
from entrypoints.api.models import (
    BatchAnswer,
    BatchJob,
    HealthView,
    JobAccepted,
    JobList,
    JobView,
    Liveness,
    NewJob,
    Readiness,
    Reason,
)
from entrypoints.api.preferences import MAX_WAIT
from entrypoints.api.problems import (
    BEFORE_CREATION,
    BEYOND_HEAD,
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    INTERNAL,
    INVALID_BATCH,
    INVALID_BODY,
    INVALID_IF_MATCH,
    INVALID_JOB_ID,
    INVALID_KEY,
    INVALID_QUERY,
    INVALID_REASON,
    INVALID_REQUEST,
    JOB_NOT_FOUND,
    KEY_REUSED,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
    NO_RESULT,
    NOT_JSON,
    PRECONDITION_FAILED,
    RANGE_UNSATISFIABLE,
    REJECTED_DATA,
    REQUEST_TOO_SLOW,
    RESULT_GONE,
    STATE_FORBIDS,
    TOO_MANY_JOBS,
    TOO_MANY_STREAMS,
    UNAVAILABLE,
    VERSION_MISMATCH,
    Kind,
)
from entrypoints.api.stats_models import StatsView

JsonObject = dict[str, Any]


class Reply(Struct, frozen=True):
    """An answer that is no problem. `model`: of its JSON; None: something else, which `content` or the document's maker tells by
    media type (`{}`: no body). `headers`: their names and what they say."""

    status: int
    description: str
    model: type[Struct] | None = None
    headers: dict[str, JsonObject] = {}
    content: dict[str, JsonObject] | None = None


class Operation(Struct, frozen=True):
    """One method of one path. `problems`: the kinds that it can answer with, beside those that any request can.

    `needs_body`: False where `body` may be left out. `takes_many`: a list of them, or one a line.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str
    replies: tuple[Reply, ...]
    problems: tuple[Kind, ...] = ()
    parameters: tuple[JsonObject, ...] = ()
    body: type[Struct] | None = None
    needs_body: bool = True
    takes_many: bool = False


# Those that the server itself answers with, before any operation hears of the request, are among them.
ANY_REQUEST: tuple[Kind, ...] = (INVALID_REQUEST, REQUEST_TOO_SLOW, HEAD_TOO_LARGE, METHOD_NOT_ALLOWED, INTERNAL)

# What the texts of a request are, as far as a pattern can say it: regular expressions of ECMA-262, as JSON Schema wants them.
_POSITION_PATTERN = "^[0-9]+$"
_NO_NUL = "^[^\\u0000]*$"
_IDEMPOTENCY_KEY = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--:<-\[\]-~]{1,255})$'
_ENTITY_TAG = r'(W/)?"[!#-~]*"'
_ENTITY_TAGS = rf"^(\*|{_ENTITY_TAG}([ \t]*,[ \t]*{_ENTITY_TAG})*)$"
_EVENT_TYPE = f"({'|'.join(EVENT_TYPES)})"

_JOB_ID: JsonObject = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The job's id.",
    "schema": {"type": "string", "format": "uuid"},
    "example": "0190f5fe-7c00-7a00-8000-000000000000",
}
_INCLUDE: JsonObject = {
    "name": "include",
    "in": "query",
    "required": False,
    "description": "`payload`: the answer holds the payload too, byte for byte as it was sent.",
    "schema": {"type": "string", "enum": ["payload"]},
}
_AS_OF: JsonObject = {
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
_KEY: JsonObject = {
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
_TEXT: JsonObject = {"type": "string"}
_PREFER: JsonObject = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": (
        f"`wait=` and seconds, {MAX_WAIT} at most (RFC 7240): the answer comes when the job has ended, or with what there "
        "is when the time is up."
    ),
    "schema": _TEXT,
    "example": "wait=30",
}
_APPLIED: dict[str, JsonObject] = {
    "Preference-Applied": {"description": "`wait=` and the seconds that were waited at most.", "schema": _TEXT}
}
_ETAG: dict[str, JsonObject] = {
    "ETag": {
        "description": "The job's version, for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    }
}
_TRACEPARENT: JsonObject = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "description": (
        "The trace that the request belongs to (W3C Trace Context). Its id is kept with the job, and stands in the log lines of "
        "all processes. One that is not valid counts as none, and then an id is made here."
    ),
    "schema": _TEXT,
    "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
_TRACED: dict[str, JsonObject] = {
    "traceresponse": {
        "description": "The id of the trace, whoever made it, in the form of `traceparent`.",
        "required": True,
        "schema": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    }
}
_IF_MATCH: JsonObject = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The job's `ETag` as the caller knows it: where the job has moved on since, nothing is done; 412.",
    "schema": {"type": "string", "pattern": _ENTITY_TAGS},
    "example": '"3"',
}
_COMMAND_PROBLEMS = (
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


def _query(name: str, description: str, schema: JsonObject, example: str | int | None = None) -> JsonObject:
    described: JsonObject = {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }
    return described if example is None else {**described, "example": example}


_LIST: tuple[JsonObject, ...] = (
    _query("status", "Only jobs of this status.", {"type": "string", "enum": list(STATUSES)}, "failed"),
    _query(
        "type", "Only jobs of this type, installed or not.", {**_TEXT, "minLength": 1, "pattern": _NO_NUL}, "CSV_EXPORT"
    ),
    _query("priority", "Only jobs of this priority.", {"type": "string", "enum": list(PRIORITIES)}, "high"),
    _query(
        "tag",
        "Only jobs with this tag.",
        {**_TEXT, "minLength": 1, "maxLength": MAX_TAG_LENGTH, "pattern": TAG_PATTERN},
        "order-4711",
    ),
    _query(
        "createdAfter",
        "Only jobs that were created at this time (RFC 3339, with its offset) or later.",
        {"type": "string", "format": "date-time"},
        "2026-01-27T00:00:00Z",
    ),
    _query(
        "createdBefore",
        "Only jobs that were created before this time.",
        {"type": "string", "format": "date-time"},
        "2026-01-28T00:00:00Z",
    ),
    _query(
        "limit",
        "At most so many jobs a page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    _query(
        "cursor", "Where the page begins: as it stands in `next`, and nothing to make up.", {**_TEXT, "format": "uuid"}
    ),
)

_RESULT: dict[str, JsonObject] = {
    "text/csv": {"schema": _TEXT},
    "application/json": {"schema": {}},
    "application/octet-stream": {"schema": _TEXT},
}
_RESULT_HEADERS: dict[str, JsonObject] = {
    "ETag": {"description": "Changes with the bytes.", "required": True, "schema": _TEXT},
    "Last-Modified": {"description": "Of a file.", "schema": _TEXT},
    "Content-Disposition": {"description": "The name of a file.", "schema": _TEXT},
    "Repr-Digest": {"description": "SHA-256 of the whole, as the job recorded it (RFC 9530).", "schema": _TEXT},
    "Accept-Ranges": {
        "description": "Ranges of bytes can be asked for.",
        "schema": {"type": "string", "const": "bytes"},
    },
}


def _header(name: str, description: str, example: str) -> JsonObject:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": _TEXT,
        "example": example,
    }


_AFTER = _query("after", "Only events after this position of the log.", {"type": "integer", "minimum": 0}, 4711)
_LAST_EVENT_ID: JsonObject = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The same, as clients of Server-Sent Events send it when they resume; it counts more than `after`.",
    "schema": {**_TEXT, "pattern": _POSITION_PATTERN},
    "example": "4711",
}
_EVENT_TYPES = _query(
    "type",
    f"Only events of these types, separated by commas: {', '.join(f'`{name}`' for name in EVENT_TYPES)}.",
    {**_TEXT, "pattern": f"^{_EVENT_TYPE}(,{_EVENT_TYPE})*$"},
    "Completed,Failed",
)
_EVENT_LINES: dict[str, JsonObject] = {
    "application/x-ndjson": {"schema": _TEXT},
    "text/event-stream": {"schema": _TEXT},
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="post",
        path="/jobs",
        id="createJob",
        tag="Jobs",
        summary="Create a job",
        description=(
            "Answers when the job is durable: from then on it is run, whatever happens, and `GET` finds it. "
            "The payload is not judged here; one that its job type cannot use fails when it runs."
        ),
        parameters=(_KEY, _PREFER, _TRACEPARENT),
        body=NewJob,
        replies=(
            Reply(
                201,
                "The job is kept and will run.",
                JobAccepted,
                {
                    "Location": {
                        "description": "The job's own path.",
                        "required": True,
                        "schema": {"type": "string", "format": "uri-reference"},
                    },
                    **_APPLIED,
                    **_TRACED,
                    "Idempotency-Replayed": {
                        "description": "`true` if an earlier request with this Idempotency-Key created the job.",
                        "schema": {"type": "string", "const": "true"},
                    },
                },
            ),
        ),
        problems=(
            INVALID_BODY,
            MALFORMED_JSON,
            INVALID_KEY,
            REJECTED_DATA,
            BODY_TOO_LARGE,
            NOT_JSON,
            KEY_REUSED,
            UNAVAILABLE,
        ),
    ),
    Operation(
        method="get",
        path="/jobs",
        id="listJobs",
        tag="Jobs",
        summary="List jobs",
        description=(
            "Newest first, page by page; all filters that are given must fit. Whoever follows `next` to the end meets each job "
            "that fitted all the while exactly once, whatever is written meanwhile. A page costs the same however many jobs "
            "there are; nothing is counted. `next` also stands in the header `Link` (RFC 8288)."
        ),
        parameters=_LIST,
        replies=(
            Reply(
                200,
                "A page of jobs.",
                JobList,
                {"Link": {"description": 'The next page, if there is one, as `rel="next"`.', "schema": _TEXT}},
            ),
        ),
        problems=(INVALID_QUERY, UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/jobs/{id}",
        id="getJob",
        tag="Jobs",
        summary="Ask for a job",
        description=(
            "The job as of its newest event: never older than what the caller has seen, whatever the load. "
            "With `asOf`: as it was at any moment of its life."
        ),
        parameters=(_JOB_ID, _INCLUDE, _AS_OF, _PREFER),
        replies=(Reply(200, "The job.", JobView, _ETAG | _APPLIED),),
        problems=(INVALID_JOB_ID, INVALID_QUERY, JOB_NOT_FOUND, BEFORE_CREATION, BEYOND_HEAD, UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/jobs/{id}/events",
        id="getJobEvents",
        tag="Jobs",
        summary="See what happened to a job",
        description=(
            "Every event of the job from its creation on, with the status that the job had after each. With "
            "`Accept: application/x-ndjson` a line each; with `Accept: text/event-stream` also those that are yet to come, as "
            "they do, and between them, unless `type` is given, how far the attempt is that runs: `event: progress` with a "
            "`ProgressView` and no `id`."
        ),
        parameters=(_JOB_ID, _AFTER, _LAST_EVENT_ID, _EVENT_TYPES),
        replies=(
            Reply(
                200,
                "The job's history.",
                content={"application/json": {"schema": {"$ref": "#/components/schemas/History"}}, **_EVENT_LINES},
            ),
        ),
        problems=(INVALID_JOB_ID, INVALID_QUERY, JOB_NOT_FOUND, BEYOND_HEAD, UNAVAILABLE, TOO_MANY_STREAMS),
    ),
    Operation(
        method="get",
        path="/events",
        id="listEvents",
        tag="Jobs",
        summary="See what happens to all jobs",
        description=(
            "The log, page by page, in its order; `next` leads on, also from the newest event to those that are yet to come. "
            "With `Accept: application/x-ndjson` a line each, and `next` in the header `Link`. With `Accept: text/event-stream` "
            "live, as Server-Sent Events: from `Last-Event-ID` or `after` on, from now on where neither is given. Nothing is "
            "lost or doubled for a client that resumes."
        ),
        parameters=(
            _AFTER,
            _LAST_EVENT_ID,
            _EVENT_TYPES,
            _query(
                "jobType",
                "Only events of jobs of these types, separated by commas.",
                {**_TEXT, "pattern": "^[^,]+(,[^,]+)*$"},
                "CSV_EXPORT",
            ),
            _query(
                "limit",
                "At most so many events a page.",
                {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": event_query.MAX_LIMIT,
                    "default": event_query.DEFAULT_LIMIT,
                },
            ),
        ),
        replies=(
            Reply(
                200,
                "A page of events, or the stream of them.",
                headers={"Link": {"description": 'What follows, as `rel="next"`; not of a stream.', "schema": _TEXT}},
                content={"application/json": {"schema": {"$ref": "#/components/schemas/EventList"}}, **_EVENT_LINES},
            ),
        ),
        problems=(INVALID_QUERY, BEYOND_HEAD, UNAVAILABLE, TOO_MANY_STREAMS),
    ),
    Operation(
        method="post",
        path="/jobs/batch",
        id="createJobs",
        tag="Jobs",
        summary="Create many jobs at once",
        description=(
            "Up to 10,000 jobs, in an array or one a line (`application/x-ndjson`). Each is judged alone and answered in its "
            "order: those that are not refused are durable together. Where the answer is lost, the batch may be sent "
            "again if each job has a key; those that were created are then `replayed`."
        ),
        parameters=(_TRACEPARENT,),
        body=BatchJob,
        takes_many=True,
        replies=(
            Reply(201, "All are kept and will run.", BatchAnswer, _TRACED),
            Reply(207, "Some or all have a problem.", BatchAnswer, _TRACED),
        ),
        problems=(INVALID_BATCH, MALFORMED_JSON, BODY_TOO_LARGE, TOO_MANY_JOBS, NOT_JSON, UNAVAILABLE),
    ),
    Operation(
        method="post",
        path="/jobs/{id}/cancel",
        id="cancelJob",
        tag="Jobs",
        summary="Cancel a job",
        description=(
            "A job that waits or is queued ends at once. Of a running one the request is kept and its worker told within two "
            "seconds: async code is cancelled; plain code is asked to stop, and goes on until it does. Then the job is "
            "`cancelled`, or `completed` where its effect was there first. The body may be left out."
        ),
        parameters=(_JOB_ID, _IF_MATCH, _TRACEPARENT),
        body=Reason,
        needs_body=False,
        replies=(
            Reply(200, "It is cancelled.", JobView, _ETAG | _TRACED),
            Reply(202, "It runs, and its worker is told.", JobView, _ETAG | _TRACED),
        ),
        problems=_COMMAND_PROBLEMS,
    ),
    Operation(
        method="post",
        path="/jobs/{id}/retry",
        id="retryJob",
        tag="Jobs",
        summary="Let a failed or cancelled job live again",
        description=(
            "It is queued at once, with as many attempts as it had at first; their numbers run on. The body may be left out."
        ),
        parameters=(_JOB_ID, _IF_MATCH, _TRACEPARENT),
        body=Reason,
        needs_body=False,
        replies=(Reply(200, "It is queued.", JobView, _ETAG | _TRACED),),
        problems=_COMMAND_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/jobs/{id}/result",
        id="getJobResult",
        tag="Jobs",
        summary="Get what a job made",
        description=(
            "The file of a job that made one, such as `CSV_EXPORT`, as an attachment; of other jobs the JSON that they answered. "
            "Conditional requests and ranges are understood (RFC 9110); of several ranges at once all is sent."
        ),
        parameters=(
            _JOB_ID,
            _header("Range", "A range of bytes.", "bytes=0-1023"),
            _header("If-Range", "The range only if the entity tag is still this one, else all.", '"4a1f-3f-17"'),
            _header("If-None-Match", "Nothing if the entity tag is still this one.", '"4a1f-3f-17"'),
        ),
        replies=(
            Reply(200, "The result.", headers=_RESULT_HEADERS, content=_RESULT),
            Reply(
                206,
                "A range of it.",
                headers={
                    **_RESULT_HEADERS,
                    "Content-Range": {
                        "description": "Which bytes these are, of how many.",
                        "required": True,
                        "schema": _TEXT,
                    },
                },
                content=_RESULT,
            ),
            Reply(304, "The client has it.", headers={"ETag": _RESULT_HEADERS["ETag"]}, content={}),
        ),
        problems=(
            INVALID_JOB_ID,
            JOB_NOT_FOUND,
            NO_RESULT,
            RESULT_GONE,
            PRECONDITION_FAILED,
            RANGE_UNSATISFIABLE,
            UNAVAILABLE,
        ),
    ),
    Operation(
        method="get",
        path="/stats",
        id="getStats",
        tag="Watching",
        summary="Ask how many, how old, how fast",
        description=(
            "Jobs by status, type and priority; how many are queued and since when the oldest is; what happened in the last 1, 5 "
            "and 60 minutes, and how long jobs waited and ran. Counted from the log as it grows: it costs the same however many "
            "jobs there are, and is usually half a second behind."
        ),
        replies=(Reply(200, "The counts.", StatsView),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="get",
        path="/health",
        id="getHealth",
        tag="Watching",
        summary="See how each part is",
        description="For people and dashboards. Parts that are not ok are named in `degraded`, and the status stays 200.",
        replies=(
            Reply(200, "The API can do its work.", HealthView),
            Reply(503, "The API cannot do its work: PostgreSQL cannot be used.", HealthView),
        ),
    ),
    Operation(
        method="get",
        path="/readyz",
        id="getReadiness",
        tag="Watching",
        summary="Whether to send requests here",
        description="For load balancers. Red also while the read side is too far behind the log (READY_MAX_LAG_SECONDS).",
        replies=(Reply(200, "Ready.", Readiness), Reply(503, "Not ready.", Readiness)),
    ),
    Operation(
        method="get",
        path="/livez",
        id="getLiveness",
        tag="Watching",
        summary="Whether the process lives",
        description="For supervisors. Looks at nothing else, so a database that is away restarts no process.",
        replies=(Reply(200, "It lives.", Liveness),),
    ),
    Operation(
        method="get",
        path="/",
        id="getRoot",
        tag="Schema",
        summary="Be led to this documentation",
        description="For those who open the bare address.",
        replies=(
            Reply(
                307,
                "The documentation is there.",
                headers={
                    "Location": {
                        "description": "The page's path.",
                        "required": True,
                        "schema": {"type": "string", "const": "/schema"},
                    }
                },
            ),
        ),
    ),
    Operation(
        method="get",
        path="/schema",
        id="getSchemaPage",
        tag="Schema",
        summary="Read this documentation",
        description="A page for people, complete in itself.",
        replies=(Reply(200, "The page, as HTML."),),
    ),
    Operation(
        method="get",
        path="/schema/openapi.json",
        id="getSchema",
        tag="Schema",
        summary="Get this documentation as data",
        description="This OpenAPI document.",
        replies=(Reply(200, "The document."),),
    ),
)
