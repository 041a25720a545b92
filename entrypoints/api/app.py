"""The HTTP API as one ASGI application. Everything it needs comes in as arguments; nothing is global."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.enums import HttpMethod, ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import HTTPScope, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Message, Receive, Scope, Send

from commands.create_job import JobCreator
from commands.follow_log import LogFollower
from commands.health import HealthReader
from commands.key_ring import KeyRing
from commands.list_jobs import JobLister
from commands.measures import AnswerMeasures, RequestMeasures
from commands.outages import READ_JOBS, Outages
from commands.ports import EventLog, JobReader, Unavailable
from commands.progress import ProgressBoard
from commands.results import ResultFiles
from commands.share_progress import SharedProgress
from commands.stats import StatsReader
from commands.wait_for_end import EndOfJobs
from domain.job_type import JobType
from entrypoints.api.access import Doorkeeper, needed_for
from entrypoints.api.answers import Answer, Endpoint
from entrypoints.api.batch_endpoints import BatchEndpoints
from entrypoints.api.command_endpoints import CommandEndpoints
from entrypoints.api.event_endpoints import EventEndpoints
from entrypoints.api.health_endpoints import HealthEndpoints
from entrypoints.api.job_endpoints import JobEndpoints
from entrypoints.api.list_endpoint import ListEndpoint
from entrypoints.api.openapi import openapi_document
from entrypoints.api.problems import problem_answer
from entrypoints.api.rate_limit import RateLimit
from entrypoints.api.result_endpoint import ResultEndpoint
from entrypoints.api.schema_endpoints import SchemaEndpoints
from entrypoints.api.stats_endpoint import StatsEndpoint
from entrypoints.api.stream_places import StreamPlaces

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_OTHER = (
    "other"  # what any other method, and any path without a route, counts as: clients may make up as many as they like
)
_JOB_PATH_LENGTH = len("/jobs/") + 36  # of a job's own path


def make_app(
    *,
    log: EventLog,
    jobs: JobReader,
    lists: JobLister,
    stats: StatsReader,
    files: ResultFiles,
    ends: EndOfJobs,
    follower: LogFollower,
    progress: ProgressBoard,
    health: HealthReader,
    keys: KeyRing,
    outages: Outages,
    job_types: Mapping[str, JobType],
    new_job_id: Callable[[], str],
    max_attempts: int,
    max_body_bytes: int,
    max_batch_bytes: int,
    max_requests_per_second: int = 0,
    max_event_streams: int = 1000,
    max_lag: float,
    measures: RequestMeasures | None = None,
) -> Litestar:
    """Make the application.

    `keys` says who is let in. `outages` is told whether jobs can be read, and by `log` whether it can be written, which /readyz
    asks it. `new_job_id` gives a fresh UUID, version 7, at each call. `max_attempts` is for job types that do not say it
    themselves. `max_requests_per_second`: of one key or one address; 0: no limit.
    `measures`: where answers are counted.
    `max_lag`: seconds by which the read side may be behind the log before /readyz turns red.
    """
    creator = JobCreator(log=log, job_types=job_types, new_job_id=new_job_id, max_attempts=max_attempts)
    batch = BatchEndpoints(
        creator=creator, job_types=job_types, max_batch_bytes=max_batch_bytes, max_body_bytes=max_body_bytes
    )
    shared_progress = SharedProgress(progress)
    job = JobEndpoints(
        creator=creator,
        jobs=jobs,
        ends=ends,
        progress=shared_progress,
        job_types=job_types,
        max_body_bytes=max_body_bytes,
    )
    command = CommandEndpoints(log=log, jobs=jobs, max_body_bytes=max_body_bytes)
    find = _told(job.find, outages)
    result = _told(ResultEndpoint(jobs=jobs, files=files).result, outages)
    events = EventEndpoints(
        jobs=jobs, follower=follower, progress=shared_progress, places=StreamPlaces(max_event_streams)
    )
    watch = HealthEndpoints(health=health, outages=outages, keys=keys, max_lag=max_lag)
    schema = SchemaEndpoints(openapi_document(sorted(job_types)))
    limit = RateLimit(max_requests_per_second, now=time.monotonic) if max_requests_per_second else None
    doorkeeper = Doorkeeper(keys, limit)

    def route(path: str, methods: Sequence[HttpMethod], endpoint: Endpoint) -> HTTPRouteHandler:
        return _route(path, methods, doorkeeper.guarded(endpoint, needed=needed_for(methods, _documented(path))))

    create = doorkeeper.guarded(job.create, needed=needed_for([HttpMethod.POST], "/jobs"))
    list_jobs = doorkeeper.guarded(
        _told(ListEndpoint(lists).list, outages), needed=needed_for([HttpMethod.GET, HttpMethod.HEAD], "/jobs")
    )
    return _Api(
        measures=measures or RequestMeasures(),
        create_job=create,
        find_job=doorkeeper.guarded(find, needed=needed_for([HttpMethod.GET], "/jobs/{id}")),
        route_handlers=[
            # One handler: of two at one path, the framework's answer to OPTIONS names the methods of the first alone.
            _route("/jobs", [HttpMethod.POST, HttpMethod.GET, HttpMethod.HEAD], _one_of(post=create, get=list_jobs)),
            route("/jobs/batch", [HttpMethod.POST], batch.create),
            route("/jobs/{job_id:str}", [HttpMethod.GET, HttpMethod.HEAD], find),
            route("/jobs/{job_id:str}/events", [HttpMethod.GET, HttpMethod.HEAD], _told(events.of_job, outages)),
            route("/jobs/{job_id:str}/cancel", [HttpMethod.POST], command.cancel),
            route("/jobs/{job_id:str}/retry", [HttpMethod.POST], command.retry),
            route("/jobs/{job_id:str}/result", [HttpMethod.GET, HttpMethod.HEAD], result),
            route("/events", [HttpMethod.GET, HttpMethod.HEAD], _told(events.of_all, outages)),
            route("/stats", [HttpMethod.GET, HttpMethod.HEAD], _told(StatsEndpoint(stats).stats, outages)),
            route("/health", [HttpMethod.GET, HttpMethod.HEAD], watch.health),
            route("/readyz", [HttpMethod.GET, HttpMethod.HEAD], watch.readiness),
            route("/livez", [HttpMethod.GET, HttpMethod.HEAD], watch.liveness),
            route("/", [HttpMethod.GET, HttpMethod.HEAD], schema.root),
            route("/schema", [HttpMethod.GET, HttpMethod.HEAD], schema.page),
            route("/schema/openapi.json", [HttpMethod.GET, HttpMethod.HEAD], schema.document),
        ],
        exception_handlers={Exception: _answer_error},
        logging_config=None,
        openapi_config=None,  # made by openapi.py, as endpoints take raw requests, which tell the framework nothing
    )


class _Api(Litestar):
    """The framework's application, with a short way for the two requests that make up the load.

    They go to the same endpoints as over the framework's routes, but past its routing and its request objects, which cost
    three times as much as the endpoints themselves (27 of 35 microseconds). A test holds both ways together.
    """

    def __init__(self, *, measures: RequestMeasures, create_job: Endpoint, find_job: Endpoint, **config: Any) -> None:
        super().__init__(**config)
        self._measures = measures
        # Each with what counts its answers, which so costs no look into a table.
        self._create_job = (create_job, measures.of("/jobs", "POST"))
        self._find_job = (find_job, measures.of("/jobs/{id}", "GET"))

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        began = time.perf_counter()
        request = cast("HTTPScope", scope)
        way = self._short_way(request["method"], request["path"])
        if way is None:
            await self._long_way(request, cast("Receive", receive), cast("Send", send), began)
            return
        endpoint, answers = way
        try:
            answer = await endpoint(request, cast("Receive", receive))
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001  # told as a problem document, and logged there
            answer = problem_answer(exc, request)
        answers.answered(answer.status, seconds=time.perf_counter() - began)
        await answer(request, cast("Receive", receive), cast("Send", send))

    async def _long_way(self, request: HTTPScope, receive: Receive, send: Send, began: float) -> None:
        has_begun = False

        async def counting(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                # By now the framework has found the route, if there is one.
                route = request.get("path_template", _OTHER).replace("{job_id}", "{id}")
                method = request["method"] if request["method"] in _METHODS else _OTHER
                answers = self._measures.of(route, method)
                answers.answered(message["status"], seconds=time.perf_counter() - began)
            await send(message)

        try:
            await super().__call__(request, receive, counting)
        except asyncio.CancelledError as exc:  # the server does so to what is not answered when its time is over
            if has_begun:
                raise
            await problem_answer(exc, request)(request, receive, counting)

    def _short_way(self, method: str, path: str) -> tuple[Endpoint, AnswerMeasures] | None:
        if method == "POST":
            return self._create_job if path == "/jobs" else None
        if method == "GET" and len(path) == _JOB_PATH_LENGTH and path.startswith("/jobs/") and path.count("/") == 2:
            return self._find_job
        return None


def _told(endpoint: Endpoint, outages: Outages) -> Endpoint:
    """An endpoint that reads jobs, and tells `outages` whether it can."""

    async def told(scope: Scope, receive: Receive) -> Answer:
        try:
            answer = await endpoint(scope, receive)
        except Unavailable as exc:
            outages.failed(exc, doing=READ_JOBS)
            raise
        outages.succeeded(doing=READ_JOBS)
        return answer

    return told


def _route(path: str, methods: Sequence[HttpMethod], endpoint: Endpoint) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> Answer:
        return await endpoint(request.scope, request.receive)

    return HTTPRouteHandler(path, http_method=methods)(handle)


def _one_of(*, post: Endpoint, get: Endpoint) -> Endpoint:
    """The endpoint that goes to one of the two by the request's method."""

    def choose(scope: Scope, receive: Receive) -> Awaitable[Answer]:
        endpoint = post if scope.get("method") == HttpMethod.POST else get
        return endpoint(scope, receive)

    return choose


def _documented(path: str) -> str:
    """The framework's path as the OpenAPI document writes it."""
    return path.replace("{job_id:str}", "{id}")


def _answer_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    answer = problem_answer(exc, request.scope)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=headers["content-type"])
