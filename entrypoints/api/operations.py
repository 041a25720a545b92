"""What can be asked of the API, as a table for its documentation. A test holds it against the routes of the application."""

from __future__ import annotations

from msgspec import Struct

from entrypoints.api import event_query
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
from entrypoints.api.operation_parts import (
    AFTER,
    APPLIED,
    AS_OF,
    COMMAND_PROBLEMS,
    ETAG,
    EVENT_LINES,
    IF_MATCH,
    INCLUDE,
    JOB_ID,
    KEY,
    LAST_EVENT_ID,
    LIST,
    PREFER,
    RESULT,
    RESULT_HEADERS,
    TEXT,
    TRACED,
    TRACEPARENT,
    TYPES_OF_EVENTS,
    JsonObject,
    header,
    query,
)
from entrypoints.api.problems import (
    BEFORE_CREATION,
    BEYOND_HEAD,
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    INTERNAL,
    INVALID_BATCH,
    INVALID_BODY,
    INVALID_JOB_ID,
    INVALID_KEY,
    INVALID_QUERY,
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
    TOO_MANY_JOBS,
    TOO_MANY_STREAMS,
    UNAVAILABLE,
    Kind,
)
from entrypoints.api.stats_models import StatsView


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
        parameters=(KEY, PREFER, TRACEPARENT),
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
                    **APPLIED,
                    **TRACED,
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
        parameters=LIST,
        replies=(
            Reply(
                200,
                "A page of jobs.",
                JobList,
                {"Link": {"description": 'The next page, if there is one, as `rel="next"`.', "schema": TEXT}},
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
        parameters=(JOB_ID, INCLUDE, AS_OF, PREFER),
        replies=(Reply(200, "The job.", JobView, ETAG | APPLIED),),
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
        parameters=(JOB_ID, AFTER, LAST_EVENT_ID, TYPES_OF_EVENTS),
        replies=(
            Reply(
                200,
                "The job's history.",
                content={"application/json": {"schema": {"$ref": "#/components/schemas/History"}}, **EVENT_LINES},
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
            AFTER,
            LAST_EVENT_ID,
            TYPES_OF_EVENTS,
            query(
                "jobType",
                "Only events of jobs of these types, separated by commas.",
                {**TEXT, "pattern": "^[^,]+(,[^,]+)*$"},
                "CSV_EXPORT",
            ),
            query(
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
                headers={"Link": {"description": 'What follows, as `rel="next"`; not of a stream.', "schema": TEXT}},
                content={"application/json": {"schema": {"$ref": "#/components/schemas/EventList"}}, **EVENT_LINES},
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
        parameters=(TRACEPARENT,),
        body=BatchJob,
        takes_many=True,
        replies=(
            Reply(201, "All are kept and will run.", BatchAnswer, TRACED),
            Reply(207, "Some or all have a problem.", BatchAnswer, TRACED),
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
        parameters=(JOB_ID, IF_MATCH, TRACEPARENT),
        body=Reason,
        needs_body=False,
        replies=(
            Reply(200, "It is cancelled.", JobView, ETAG | TRACED),
            Reply(202, "It runs, and its worker is told.", JobView, ETAG | TRACED),
        ),
        problems=COMMAND_PROBLEMS,
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
        parameters=(JOB_ID, IF_MATCH, TRACEPARENT),
        body=Reason,
        needs_body=False,
        replies=(Reply(200, "It is queued.", JobView, ETAG | TRACED),),
        problems=COMMAND_PROBLEMS,
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
            JOB_ID,
            header("Range", "A range of bytes.", "bytes=0-1023"),
            header("If-Range", "The range only if the entity tag is still this one, else all.", '"4a1f-3f-17"'),
            header("If-None-Match", "Nothing if the entity tag is still this one.", '"4a1f-3f-17"'),
        ),
        replies=(
            Reply(200, "The result.", headers=RESULT_HEADERS, content=RESULT),
            Reply(
                206,
                "A range of it.",
                headers={
                    **RESULT_HEADERS,
                    "Content-Range": {
                        "description": "Which bytes these are, of how many.",
                        "required": True,
                        "schema": TEXT,
                    },
                },
                content=RESULT,
            ),
            Reply(304, "The client has it.", headers={"ETag": RESULT_HEADERS["ETag"]}, content={}),
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
