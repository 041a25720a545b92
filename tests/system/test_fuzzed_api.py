"""Schemathesis against the API, by the document that it serves: no 5xx, and no answer that the document does not describe.

It sends each operation what lies at the bounds of each field and just beyond them, methods that there are not, and texts at
random; the same ones at each run. Its report must say that it reached every operation. The API asks for a key, so
it is sent everything without one, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrypoints.api.openapi import openapi_document
from tests.system.service import WITHIN, Service

pytestmark = [pytest.mark.usefixtures("unmeasured"), pytest.mark.timeout(300)]

# All operations but the one that schemathesis reads the document from, which it leaves out.
_PATHS = {
    f"{method.upper()} {path}"
    for path, methods in openapi_document([])["paths"].items()
    for method in methods
    if path != "/schema/openapi.json"
}
_COMMANDS = {"POST /jobs/{id}/cancel", "POST /jobs/{id}/retry"}
# Each exception has its reason beside it. All other checks of schemathesis hold for all operations.
_CONFIG = """\
continue-on-failure = true
request-timeout = 20
max-redirects = 0
hooks = {hooks}

[generation]
deterministic = true
database = "none"
no-shrink = true
max-examples = 5

[reports.json]
enabled = true
path = {report}

# That the documented examples are valid is in the tests of the document.
[phases.examples]
enabled = false

# What it would do one after the other is in the tests of commands, and depends on when.
[phases.stateful]
enabled = false

[auth.openapi.apiKey]
bearer = {token}

# Of events the pages: a stream has no end.
[[operations]]
include-operation-id = ["listEvents", "getJobEvents"]
headers = {{ Accept = "application/json" }}

# Nothing here is worth waiting for. What the schema cannot say of times to run at (from 1970 on) is a 400; a key used with
# another body a 422.
[[operations]]
include-operation-id = "createJob"
parameters = {{ "header.Prefer" = "wait=0" }}
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "422"]

[[operations]]
include-operation-id = "getJob"
parameters = {{ "header.Prefer" = "wait=1" }}

# Too many jobs are a 413, and jobs of which none is good a 207.
[[operations]]
include-operation-id = "createJobs"
[operations.checks.negative_data_rejection]
expected-statuses = ["207", "400", "401", "403", "413", "415"]

# A job that waits. Versions that it is not at are a 412. In one phase schemathesis takes 0 for an entity tag, whatever the
# pattern says: 400.
[[operations]]
include-operation-id = ["cancelJob", "retryJob"]
parameters = {{ "path.id" = {waiting} }}
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412"]
[operations.phases.coverage.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412"]

# A job that has a result. Ranges beyond its end are a 416.
[[operations]]
include-operation-id = "getJobResult"
parameters = {{ "path.id" = {exported} }}
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "401", "403", "404", "416"]
"""


@pytest.fixture
def plain(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Service]:
    """The service with no other job types than those that every installation has: what these do with any payload is known.

    However far the projector is behind, under thousands of jobs at once, nothing turns red.
    """
    with Service(tmp_path, postgres_url=postgres_url, redis_url=redis_url, READY_MAX_LAG_SECONDS=3600) as made:
        made.site = tmp_path / "no types"
        made.site.mkdir()
        yield made
        made.judge()


def test_the_api_answers_whatever_is_sent_as_its_document_says(plain: Service, tmp_path: Path) -> None:
    token = plain.key("desk", scope="operate")
    plain.start("api", "dispatcher", "projector")

    exported, waiting = _jobs(plain, token)
    accepted = _fuzzed(plain, tmp_path, exported=exported, waiting=waiting, token=token)

    # Of a job that is cancelled already schemathesis may count no cancellation; the log tells of the first one.
    assert accepted | _COMMANDS == _PATHS
    assert {"Cancelled", "Queued"} <= set(plain.history(waiting))


def _jobs(service: Service, token: str) -> tuple[str, str]:
    """The ids of a job that made a file, and of one that waits. There is no worker afterwards: thousands of jobs may come."""
    service.start("worker")
    job = {"type": "CSV_EXPORT", "payload": {"data": [{"n": 1}]}}
    headers = {"authorization": f"Bearer {token}"}
    answers = [
        service.http.post("/jobs", json=each, headers=headers) for each in (job, {**job, "delaySeconds": 86_400})
    ]
    exported, waiting = (str(answer.json()["jobId"]) for answer in answers)
    service.until(lambda: service.last_types([exported]) == {exported: "Completed"})
    service.stop("worker")
    return exported, waiting


def _fuzzed(service: Service, home: Path, *, exported: str, waiting: str, token: str) -> set[str]:
    """The operations that took some of what schemathesis sent. It must have found nothing, and have asked all of them."""
    config, report = home / "schemathesis.toml", home / "report.json"
    config.write_text(
        _CONFIG.format(
            hooks=json.dumps(str(Path(__file__).with_name("schemathesis_hooks.py"))),
            report=json.dumps(str(report)),
            exported=json.dumps(exported),
            waiting=json.dumps(waiting),
            token=json.dumps(token),
        )
    )
    document = str(service.http.base_url.join("/schema/openapi.json"))
    done = subprocess.run(
        [*(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)), *("run", document, "--no-color")],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=WITHIN * 4,
    )
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["complete"], done.stdout
    assert (found["failures"], found["errors"]) == ([], []), done.stdout
    assert found["operations"]["tested"] == found["operations"]["selected"] == len(_PATHS), done.stdout
    rates: dict[str, dict[str, dict[str, int]]] = found["valid_rates"]
    return {path for path, phases in rates.items() if any(rate["accepted"] for rate in phases.values())}
