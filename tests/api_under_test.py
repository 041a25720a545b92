"""The API over fakes, and a client for it: what tests of the API share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import uuid_utils
from jsonschema import Draft202012Validator, FormatChecker
from litestar import Litestar

import jobledger
from adapters.files.result_files import OutputFiles
from commands.follow_log import LogFollower
from commands.key_ring import KeyRing
from commands.measures import RequestMeasures
from commands.outages import Outages
from commands.wait_for_end import EndOfJobs
from entrypoints.api.app import make_app
from entrypoints.api.openapi import openapi_document
from tests.fakes.api_keys import FakeApiKeys, ring_over
from tests.fakes.event_log import FakeEventLog
from tests.fakes.event_pages import FakeEventPages
from tests.fakes.health_reader import FakeHealthReader
from tests.fakes.job_ends import FakeJobEnds, listen
from tests.fakes.job_lister import FakeJobLister
from tests.fakes.progress_board import FakeProgressBoard
from tests.fakes.report import FakeReport
from tests.fakes.stats_reader import FakeStatsReader

MAX_BODY_BYTES = 4096
MAX_BATCH_BYTES = 1024 * 1024


async def _do_nothing(payload: Any, context: jobledger.Context) -> None:
    """What every job type here does."""


JOB_TYPES = {
    "CSV_EXPORT": jobledger.job_type("CSV_EXPORT")(_do_nothing),
    "EMAIL_SEND": jobledger.job_type("EMAIL_SEND", max_attempts=5)(_do_nothing),
}
DOCUMENT = openapi_document(sorted(JOB_TYPES))


def make_api(
    log: FakeEventLog,
    health: FakeHealthReader,
    outages: Outages | None = None,
    *,
    output_dir: Path = Path("output"),
    keys: KeyRing | None = None,
    progress: FakeProgressBoard | None = None,
    stats: FakeStatsReader | None = None,
    max_requests_per_second: int = 0,
    max_event_streams: int = 100,
    max_body_bytes: int = MAX_BODY_BYTES,
    measures: RequestMeasures | None = None,
) -> Litestar:
    """The application over these fakes, and over files in that directory. Without `keys` everyone is let in."""
    outages = outages or Outages(report=FakeReport())
    return make_app(
        log=log,
        jobs=log,
        lists=FakeJobLister(log),
        stats=stats or FakeStatsReader(),
        files=OutputFiles(output_dir),
        ends=EndOfJobs(jobs=log, ends=FakeJobEnds(log), listen=listen, outages=outages),
        follower=LogFollower(pages=FakeEventPages(log), listen=listen, outages=outages),
        progress=progress or FakeProgressBoard(log),
        health=health,
        keys=keys or ring_over(FakeApiKeys()),
        outages=outages,
        job_types=JOB_TYPES,
        new_job_id=lambda: str(uuid_utils.uuid7()),
        max_attempts=3,
        max_body_bytes=max_body_bytes,
        max_batch_bytes=MAX_BATCH_BYTES,
        max_requests_per_second=max_requests_per_second,
        max_event_streams=max_event_streams,
        max_lag=30.0,
        measures=measures,
    )


def client_of(app: Any) -> httpx.AsyncClient:
    """A client that calls the application directly; an error that escapes the application is raised in the test."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api", event_hooks=_HOOKS)


async def _is_as_documented(response: httpx.Response) -> None:
    """Every answer that any test gets is held against the OpenAPI document."""
    await response.aread()
    request = response.request
    operation = _operation(request.method, request.url.path)
    if operation is None or request.method in ("HEAD", "OPTIONS"):
        return
    assert str(response.status_code) in operation["responses"], f"undocumented: {response.status_code} {response.text}"
    documented = operation["responses"][str(response.status_code)]
    if not documented.get("content"):
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in documented["content"], f"undocumented: {media_type}"
    for name, header in documented.get("headers", {}).items():
        assert name in response.headers or not header.get("required"), f"{name} is missing"
    if media_type.endswith(("/json", "+json")) and response.status_code != 206:  # which is a part of one
        # Python itself refuses to read numbers of more than 4,300 digits; that they are numbers is all that matters here.
        value = response.json(parse_int=lambda digits: int(digits[:300]))
        check(value, documented["content"][media_type]["schema"])


_HOOKS = {"response": [_is_as_documented]}


def check(value: Any, schema: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError unless `value` is as `schema`, a part of the document, says."""
    rooted = {**schema, "components": DOCUMENT["components"]}  # where its references point
    Draft202012Validator(rooted, format_checker=FormatChecker()).validate(value)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    parts = path.split("/")
    for template, methods in DOCUMENT["paths"].items():
        wanted = template.split("/")
        if len(wanted) == len(parts) and all(want in ("{id}", part) for want, part in zip(wanted, parts, strict=True)):
            found: dict[str, Any] | None = methods.get(method.lower())
            return found
    return None
