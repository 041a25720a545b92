"""POST /jobs/batch: many jobs in one request and one append, answered item by item."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from litestar.types import Receive, Scope
from msgspec import UNSET

from commands.create_job import CreateJob, JobCreated, JobCreator
from commands.stretches import in_stretches
from domain.errors import JobledgerError
from domain.job_type import JobType
from entrypoints.api.access import actor_of
from entrypoints.api.answers import NO_STORE, Answer
from entrypoints.api.job_batch import batch_format, split_batch
from entrypoints.api.job_endpoints import job_to_create
from entrypoints.api.models import BatchItem
from entrypoints.api.new_job import read_batch_job
from entrypoints.api.problems import BODY_TOO_LARGE, Problem, problem_document, problem_of
from entrypoints.api.request_body import read_body
from entrypoints.api.tracing import trace_of, trace_response

_encode = msgspec.json.Encoder().encode


class BatchEndpoints:
    """Its method is an endpoint, as in JobEndpoints."""

    def __init__(
        self, *, creator: JobCreator, job_types: Mapping[str, JobType], max_batch_bytes: int, max_body_bytes: int
    ) -> None:
        self._creator = creator
        self._job_types = job_types
        self._max_batch_bytes = max_batch_bytes
        self._max_body_bytes = max_body_bytes

    async def create(self, scope: Scope, receive: Receive) -> Answer:
        """POST /jobs/batch."""
        headers = dict(scope["headers"])
        form = batch_format(headers)
        body = await read_body(headers, receive, limit=self._max_batch_bytes, setting="MAX_BATCH_BYTES")
        items = split_batch(body, form)
        actor = actor_of(scope)
        trace = trace_of(scope["headers"])  # one for all of the request
        wanted: list[CreateJob | Problem] = []
        async for item in in_stretches(items):
            try:
                wanted.append(self._wanted(item, actor=actor, trace=trace))
            except Problem as exc:
                wanted.append(exc)
        results = iter(await self._creator.create_all([one for one in wanted if isinstance(one, CreateJob)]))
        told: list[bytes] = []
        replayed = refused = 0
        async for one in in_stretches(wanted):
            became = _item(one if isinstance(one, Problem) else next(results), scope)
            refused += became.status >= 400
            replayed += became.replayed is True
            told.append(_encode(became))
        # As BatchAnswer, of which to encode ten thousand items at once would let nobody else have a turn.
        body = b'{"created":%d,"replayed":%d,"refused":%d,"items":[%b]}' % (
            len(told) - refused - replayed,
            replayed,
            refused,
            b",".join(told),
        )
        return Answer(
            207 if refused else 201,
            body,
            content_type=b"application/json",
            headers=(NO_STORE, trace_response(trace)),
        )

    def _wanted(self, item: bytes, *, actor: str, trace: str) -> CreateJob:
        if len(item) > self._max_body_bytes:
            raise Problem(BODY_TOO_LARGE, f"a job may be at most {self._max_body_bytes} bytes long (MAX_BODY_BYTES)")
        new_job = read_batch_job(item, self._job_types)
        return job_to_create(new_job, actor=actor, key=new_job.idempotency_key, trace=trace, body=item)


def _item(result: JobCreated | JobledgerError | Problem, scope: Scope) -> BatchItem:
    if isinstance(result, JobCreated):
        return BatchItem(201, job_id=result.job_id, replayed=True if result.replayed else UNSET)
    problem = problem_of(result, scope)
    return BatchItem(problem.kind.status, problem=problem_document(problem, scope))
