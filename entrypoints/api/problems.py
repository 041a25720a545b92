"""Problem documents (RFC 9457): what clients are told when something is wrong, and how errors become them.

What must not come in: anything of an error that the client has no business with (stack traces, statements, hosts).
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

import msgspec
import structlog
from litestar.exceptions import HTTPException
from litestar.types import Scope
from msgspec import UNSET, Struct, UnsetType

from commands.create_job import KeyReused
from commands.decide_anew import NoSuchJob, StateForbids, VersionMismatch
from commands.ports import RejectedData, Unavailable
from domain.errors import InvalidJobId, UnknownEventType
from domain.job import commands_allowed
from domain.limits import InvalidLimit
from domain.moment import BeforeCreation, BeyondHead
from domain.reason import InvalidReason
from domain.tags import InvalidTags
from domain.waiting import InvalidWait
from entrypoints.api.answers import NO_STORE, Answer, Header
from entrypoints.api.models import FieldError, ProblemDocument
from entrypoints.api.option_errors import field_error

PROBLEM_JSON = b"application/problem+json"

_log = structlog.get_logger(__name__)


class Kind(Struct, frozen=True):
    """A kind of problem. `code` is stable; the document's `type` is its place on the API's own page."""

    code: str
    status: int
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        return f"/schema#{self.code}"


INVALID_BODY = Kind("invalid-body", 400, "The body is not a job", "Fields of the body are missing or not allowed.")
MALFORMED_JSON = Kind("malformed-json", 400, "The body is not JSON", "The body cannot be read as JSON in UTF-8.")
REJECTED_DATA = Kind("rejected-data", 400, "The data cannot be kept", "The database refuses what the body holds.")
INVALID_JOB_ID = Kind("invalid-job-id", 400, "Not a job id", "Job ids are UUIDs.")
INVALID_QUERY = Kind("invalid-query", 400, "A query parameter is not allowed", "A parameter has no allowed value.")
INVALID_KEY = Kind(
    "invalid-idempotency-key", 400, "The Idempotency-Key is not valid", "It is a quoted string or token."
)
INVALID_REASON = Kind(
    "invalid-reason", 400, "The reason is not allowed", "A reason is a text of at most 1000 characters."
)
INVALID_IF_MATCH = Kind("invalid-if-match", 400, "The If-Match is not valid", "It is `*`, or a list of entity tags.")
KEY_REQUIRED = Kind("key-required", 401, "An API key is needed", "It is sent as `Authorization: Bearer` and its token.")
KEY_NOT_ACCEPTED = Kind("key-not-accepted", 401, "The API key is not accepted", "It is unknown, or was revoked.")
SCOPE_INSUFFICIENT = Kind(
    "scope-insufficient", 403, "The API key may not do this", "`WWW-Authenticate` names the scope that it takes."
)
INVALID_REQUEST = Kind("invalid-request", 400, "The request is not valid", "The request breaks the rules of HTTP.")
NOT_FOUND = Kind("not-found", 404, "There is nothing here", "No such path.")
JOB_NOT_FOUND = Kind("job-not-found", 404, "There is no such job", "No job has this id.")
BEFORE_CREATION = Kind("before-creation", 404, "The job was not there yet", "It was created after `asOf`.")
BEYOND_HEAD = Kind("beyond-head", 404, "The log does not reach so far", "`asOf` is yet to come.")
NO_RESULT = Kind("no-result", 404, "The job has no result (yet)", "Only completed jobs have one.")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here", "`Allow` names those that are.")
STATE_FORBIDS = Kind(
    "state-forbids", 409, "The job's state forbids this", "`state` says where the job is, `allowed` what it allows."
)
VERSION_MISMATCH = Kind("version-mismatch", 412, "The job is at another version", "Not at one that If-Match names.")
RESULT_GONE = Kind("result-gone", 410, "The file is gone", "The job's file was removed or changed after it was made.")
PRECONDITION_FAILED = Kind(
    "precondition-failed", 412, "It is another one by now", "A condition of the request does not hold."
)
INVALID_BATCH = Kind(
    "invalid-batch", 400, "The body is not a batch of jobs", "It is an array of jobs, or one job a line."
)
TOO_MANY_JOBS = Kind("too-many-jobs", 413, "The batch has too many jobs", "A batch has at most 10,000.")
BODY_TOO_LARGE = Kind(
    "body-too-large", 413, "The body is too large", "It is longer than MAX_BODY_BYTES, or MAX_BATCH_BYTES."
)
NOT_JSON = Kind("not-json", 415, "The body must be sent as JSON", "Content-Type is not application/json.")
RANGE_UNSATISFIABLE = Kind(
    "range-unsatisfiable",
    416,
    "There is nothing in that range",
    "It begins beyond the end; `Content-Range` names that.",
)
HEAD_TOO_LARGE = Kind("head-too-large", 431, "The request's head is too large", "Request line and headers are bounded.")
KEY_REUSED = Kind(
    "idempotency-key-reused", 422, "The Idempotency-Key belongs to another request", "Same key, another body."
)
REQUEST_TOO_SLOW = Kind(
    "request-too-slow",
    408,
    "The request took too long to arrive",
    "Of its head REQUEST_HEAD_SECONDS, of its body REQUEST_BODY_SECONDS.",
)
TOO_MANY_REQUESTS = Kind(
    "too-many-requests",
    429,
    "Too many requests",
    "More than MAX_REQUESTS_PER_SECOND; `Retry-After` says when to go on.",
)
TOO_MANY_STREAMS = Kind(
    "too-many-streams",
    503,
    "Too many event streams are open",
    "As many as MAX_EVENT_STREAMS; `Retry-After` says when to try again.",
)
INTERNAL = Kind("internal-error", 500, "Something went wrong on our side", "It is logged; trying again may help.")
UNAVAILABLE = Kind(
    "unavailable", 503, "Not available now", "A server that this needs is away; `Retry-After` says when."
)

KINDS: tuple[Kind, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Kind))


class Problem(Exception):
    """Raised by an endpoint to answer with a problem document."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Sequence[Header] = (),
        state: str | UnsetType = UNSET,
        version: int | UnsetType = UNSET,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.state = state  # of the job, where that is what is in the way
        self.version = version


def problem_answer(exc: BaseException, scope: Scope) -> Answer:
    """The answer for an error. What is not the client's doing is logged, and told without particulars."""
    problem = problem_of(exc, scope)
    # An outage and the end of a process are told of once, not for each request.
    if problem.kind.status >= 500 and not isinstance(exc, Unavailable | CancelledError):
        _log.error(
            "request failed",
            method=scope.get("method"),
            path=scope.get("path"),
            status=problem.kind.status,
            exc_info=exc if problem.kind is INTERNAL else None,
            error=str(exc),
        )
    return Answer(
        problem.kind.status,
        msgspec.json.encode(problem_document(problem, scope)),
        content_type=PROBLEM_JSON,
        headers=(NO_STORE, *problem.headers),
    )


def problem_document(problem: Problem, scope: Scope) -> ProblemDocument:
    """How the problem is told, as an answer or as a part of one."""
    return ProblemDocument(
        type=problem.kind.uri,
        title=problem.kind.title,
        status=problem.kind.status,
        detail=_sayable(problem.detail),
        instance=sayable_path(scope["path"]),
        errors=list(problem.errors) or UNSET,
        state=problem.state,
        version=problem.version,
        allowed=UNSET if problem.state is UNSET else commands_allowed(problem.state),
    )


def sayable_path(path: str) -> str:
    """A path as a reference that JSON can carry."""
    return quote(path, safe="/:@!$&'()*+,;=~")


def problem_of(exc: BaseException, scope: Scope) -> Problem:
    """What clients are told of an error."""
    match exc:
        case Problem():
            return exc
        case InvalidJobId():
            return Problem(INVALID_JOB_ID, str(exc))
        case BeforeCreation():
            return Problem(BEFORE_CREATION, str(exc))
        case BeyondHead():
            return Problem(BEYOND_HEAD, str(exc))
        case NoSuchJob():
            return Problem(JOB_NOT_FOUND, str(exc))
        case StateForbids(job=job):
            return Problem(STATE_FORBIDS, str(exc), state=job.state, version=job.version)
        case VersionMismatch(job=job):
            return Problem(
                VERSION_MISMATCH,
                str(exc),
                headers=[(b"etag", b'"%d"' % job.version)],
                state=job.state,
                version=job.version,
            )
        case InvalidReason():
            return Problem(INVALID_REASON, str(exc), errors=[FieldError("reason", str(exc), "#/reason")])
        case InvalidWait() | InvalidLimit() | InvalidTags():
            error = field_error(exc)
            return Problem(INVALID_BODY, f"{error.field} {error.detail}", errors=[error])
        case KeyReused():
            return Problem(KEY_REUSED, str(exc))
        case RejectedData():
            return Problem(REJECTED_DATA, "PostgreSQL cannot keep this payload")
        case Unavailable():
            seconds = b"%d" % max(1, round(exc.retry_after))
            return Problem(UNAVAILABLE, "the event log cannot be reached now", headers=[(b"retry-after", seconds)])
        case CancelledError():
            return Problem(UNAVAILABLE, "this process ends before it has an answer", headers=[(b"retry-after", b"1")])
        case UnknownEventType():
            # A rolling release: the log's writers are newer than this process, which will be replaced soon.
            return Problem(UNAVAILABLE, "this job was written by a newer release", headers=[(b"retry-after", b"10")])
        case HTTPException(status_code=404):
            return Problem(NOT_FOUND, "no such path; /schema lists those that there are")
        case HTTPException(status_code=405):
            allowed = (exc.headers or {}).get("allow", "")
            detail = f"{scope.get('method')} is not allowed here; allowed are {allowed}"
            return Problem(METHOD_NOT_ALLOWED, detail, headers=[(b"allow", allowed.encode())])
        case HTTPException(status_code=status) if status < 500:
            return Problem(INVALID_REQUEST, exc.detail or HTTPStatus(status).phrase)
        case _:
            return Problem(INTERNAL, "the request could not be answered; the log of the service says why")


def _sayable(text: str) -> str:
    """The text without lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()
