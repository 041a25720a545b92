"""The endpoints that change a job's course: cancel it, retry it. Rare beside those of job_endpoints.py, so nothing is hurried."""

from __future__ import annotations

from typing import Protocol

import msgspec
import structlog
from litestar.types import Receive, Scope
from msgspec.json import Decoder

from commands.cancel_job import cancel_job
from commands.ports import EventLog, JobReader
from commands.retry_job import retry_job
from domain.ids import parse_job_id
from domain.job import Job
from entrypoints.api.access import actor_of
from entrypoints.api.answers import Answer, Header, json_answer
from entrypoints.api.job_view import job_view
from entrypoints.api.models import FieldError, Reason
from entrypoints.api.new_job import is_nested_deeper
from entrypoints.api.preconditions import etag, read_if_match
from entrypoints.api.problems import INVALID_REASON, MALFORMED_JSON, Problem
from entrypoints.api.request_body import read_body, require_json
from entrypoints.api.tracing import trace_of, trace_response

_decode = Decoder(Reason).decode
_log = structlog.get_logger(__name__)
_MAX_NESTING = 64  # of fields that mean nothing here


class _Command(Protocol):
    async def __call__(
        self,
        job_id: str,
        *,
        reason: str | None,
        actor: str,
        log: EventLog,
        jobs: JobReader,
        versions: frozenset[int] | None,
        trace: str | None,
    ) -> Job: ...


class CommandEndpoints:
    """Each method is one endpoint, as in JobEndpoints."""

    def __init__(self, *, log: EventLog, jobs: JobReader, max_body_bytes: int) -> None:
        self._log = log
        self._jobs = jobs
        self._max_body_bytes = max_body_bytes

    async def cancel(self, scope: Scope, receive: Receive) -> Answer:
        """POST /jobs/{id}/cancel."""
        job, headers = await self._carry_out(cancel_job, "cancelled", scope, receive)
        # 202: it was asked for, and its worker will do it.
        return json_answer(job_view(job), status=202 if job.state == "CancelRequested" else 200, headers=headers)

    async def retry(self, scope: Scope, receive: Receive) -> Answer:
        """POST /jobs/{id}/retry."""
        job, headers = await self._carry_out(retry_job, "retried", scope, receive)
        return json_answer(job_view(job), headers=headers)

    async def _carry_out(
        self, command: _Command, done: str, scope: Scope, receive: Receive
    ) -> tuple[Job, tuple[Header, ...]]:
        """The job after the command that a request asks for, and what the answer's head says of it."""
        job_id, versions = _job_id(scope), read_if_match(scope["headers"])
        reason = await self._reason(scope, receive)
        trace = trace_of(scope["headers"])
        job = await command(
            job_id,
            reason=reason,
            actor=actor_of(scope),
            versions=versions,
            log=self._log,
            jobs=self._jobs,
            trace=trace,
        )
        _log.info(done, job_id=job.id, state=job.state, version=job.version, trace_id=trace)
        return job, (etag(job.version), trace_response(trace))

    async def _reason(self, scope: Scope, receive: Receive) -> str | None:
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, limit=self._max_body_bytes)
        if not body:
            return None
        require_json(headers)
        if is_nested_deeper(body, _MAX_NESTING):
            raise _invalid("must be an object with a reason")
        try:
            return _decode(body).reason
        except msgspec.ValidationError as exc:
            raise _invalid(f"must be a text, or left out: {exc}") from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Problem(MALFORMED_JSON, f"the body is not JSON: {exc}") from exc


def _invalid(detail: str) -> Problem:
    return Problem(INVALID_REASON, f"reason {detail}", errors=[FieldError("reason", detail, "#/reason")])


def _job_id(scope: Scope) -> str:
    return parse_job_id(scope["path"].split("/", 3)[2])
