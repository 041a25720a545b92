"""The endpoints under /jobs: create a job, ask for one.

They make up nearly all of the load. So they take the raw request and give bytes, and nothing is decoded on the way
that only passes through (payload, result, error).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from logging import DEBUG

import structlog
from litestar.types import Receive, Scope
from msgspec import UNSET, UnsetType

from commands.create_job import CreateJob, JobCreated, JobCreator
from commands.ports import IdempotencyKey, JobReader, Unavailable
from commands.share_progress import SharedProgress
from commands.wait_for_end import EndOfJobs
from domain.ids import parse_job_id
from domain.job import Job
from domain.job_type import JobType
from entrypoints.api.access import actor_of
from entrypoints.api.answers import Answer, Header, json_answer
from entrypoints.api.idempotency import read_idempotency_key
from entrypoints.api.job_query import read_job_query
from entrypoints.api.job_view import job_view, progress_view, raw
from entrypoints.api.models import JobAccepted, NewJob, ProgressView
from entrypoints.api.new_job import read_new_job
from entrypoints.api.preconditions import etag
from entrypoints.api.preferences import applied, unless_gone, wanted_wait
from entrypoints.api.problems import JOB_NOT_FOUND, Problem
from entrypoints.api.request_body import read_body, require_json
from entrypoints.api.tracing import new_trace, trace_of, trace_response

_log = structlog.get_logger(__name__)

_REPLAYED: Header = (b"idempotency-replayed", b"true")


def job_to_create(new_job: NewJob, *, actor: str, key: str | None, trace: str, body: bytes) -> CreateJob:
    """The command that a body asks for; with a key, the body's digest tells a repetition from another request."""
    return CreateJob(
        type=new_job.type,
        priority=new_job.priority,
        payload=bytes(new_job.payload),
        actor=actor,
        key=None if key is None else IdempotencyKey(key, sha256(body).digest()),
        delay=new_job.delay_seconds,
        run_at=new_job.run_at,
        max_attempts=new_job.max_attempts,
        timeout=new_job.timeout_seconds,
        tags=new_job.tags or (),
        trace=trace,
    )


class JobEndpoints:
    """Each method is one endpoint: it takes the raw request, and answers or raises what becomes a problem document."""

    def __init__(
        self,
        *,
        creator: JobCreator,
        jobs: JobReader,
        ends: EndOfJobs,
        progress: SharedProgress,
        job_types: Mapping[str, JobType],
        max_body_bytes: int,
    ) -> None:
        self._creator = creator
        self._ends = ends
        self._progress = progress
        self._jobs = jobs
        self._job_types = job_types
        self._max_body_bytes = max_body_bytes
        self._in_detail = _log.is_enabled_for(DEBUG)

    async def create(self, scope: Scope, receive: Receive) -> Answer:
        """POST /jobs."""
        # Of repeated headers the last counts, but for the key, where a repetition is refused below.
        headers = dict(scope["headers"])
        require_json(headers)
        key_text = read_idempotency_key(scope["headers"]) if b"idempotency-key" in headers else None
        body = await read_body(headers, receive, limit=self._max_body_bytes)
        new_job = read_new_job(body, self._job_types)
        trace = trace_of(scope["headers"]) if b"traceparent" in headers else new_trace()
        command = job_to_create(new_job, actor=actor_of(scope), key=key_text, trace=trace, body=body)
        created = await self._creator.create(command)
        if self._in_detail:
            _log.debug("job created", job_id=created.job_id, position=created.position, trace_id=trace)
        wait = wanted_wait(scope["headers"]) if b"prefer" in headers else None
        if wait is not None:
            return await self._create_and_wait(created, receive, wait, trace)
        job_id = created.job_id.encode("ascii")
        location, traced = (b"location", b"/jobs/" + job_id), trace_response(trace)
        return Answer(
            201,
            b'{"jobId":"%b"}' % job_id,
            content_type=b"application/json",
            headers=(location, traced, _REPLAYED) if created.replayed else (location, traced),
        )

    async def find(self, scope: Scope, receive: Receive) -> Answer:
        """GET /jobs/{id}, with ?include=payload and ?asOf=<time or position>."""
        job_id = _job_id(scope)
        query = read_job_query(scope["query_string"])
        if query.as_of is not None:
            past = await self._jobs.as_of(job_id, query.as_of, with_payload=query.with_payload)
            if past is None:
                raise _no_such_job(job_id)
            payload = raw(past.payload) if query.with_payload else UNSET
            return json_answer(job_view(past.job, payload), headers=(etag(past.job.version),))
        wait = wanted_wait(scope["headers"])
        if wait is None:
            job = await self._jobs.find(job_id)
        else:
            job = await unless_gone(receive, self._ends.find(job_id, within=wait))
        if job is None:
            raise _no_such_job(job_id)
        headers = (etag(job.version),) if wait is None else (etag(job.version), applied(wait))
        payload = raw(await self._jobs.payload(job_id)) if query.with_payload else UNSET
        return json_answer(job_view(job, payload, await self._progress_of(job)), headers=headers)

    async def _progress_of(self, job: Job) -> ProgressView | UnsetType:
        if job.status != "processing":
            return UNSET
        progress = await self._progress.of(job.id, attempt=job.attempts)
        return UNSET if progress is None else progress_view(progress)

    async def _create_and_wait(self, created: JobCreated, receive: Receive, wait: int, trace: str) -> Answer:
        headers = [(b"location", b"/jobs/" + created.job_id.encode("ascii")), applied(wait), trace_response(trace)]
        if created.replayed:
            headers.append(_REPLAYED)
        try:
            job = await unless_gone(receive, self._ends.find(created.job_id, within=wait))
        except Unavailable:
            job = None  # it is kept all the same, which is what matters most
        view = UNSET if job is None else job_view(job)
        return json_answer(JobAccepted(created.job_id, view), status=201, headers=headers)


def _job_id(scope: Scope) -> str:
    return parse_job_id(scope["path"].split("/", 3)[2])


def _no_such_job(job_id: str) -> Problem:
    return Problem(JOB_NOT_FOUND, f"there is no job {job_id}")
