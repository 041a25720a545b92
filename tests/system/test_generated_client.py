"""A client that a published generator makes from the served document, used against the service."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.system.service import Service

_PACKAGE = "made_jobledger_client"
# It is left as it is written: no formatter is looked for.
_CONFIG = f"package_name_override: {_PACKAGE}\npost_hooks: []\n"


class _Made:
    """The package that was made: `call` asks one operation, `models` are its classes."""

    def __init__(self) -> None:
        self._package = importlib.import_module(_PACKAGE)
        self.models = importlib.import_module(f"{_PACKAGE}.models")

    def client(self, service: Service, token: str) -> Any:
        """An authenticated client, as its own README has it."""
        return self._package.AuthenticatedClient(
            base_url=str(service.http.base_url), token=token, timeout=30, httpx_args={"trust_env": False}
        )

    def call(self, operation: str, *ids: UUID, client: Any, **arguments: Any) -> tuple[int, Any]:
        """The status and what the client made of the answer."""
        module = importlib.import_module(f"{_PACKAGE}.api.jobs.{operation}")
        answer = module.sync_detailed(*ids, client=client, **arguments)
        return int(answer.status_code), answer.parsed


@pytest.fixture
def token(service: Service) -> str:
    """That of a key which may do everything; from it on the API lets nobody in without one."""
    return service.key("shop", scope="operate")


@pytest.fixture
def made(service: Service, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Made]:
    """The client of the API's own document, of which the generator can use all but one thing: bodies of a job a line."""
    service.start("api", "dispatcher", "projector", "worker")
    document, config, home = tmp_path / "openapi.json", tmp_path / "client.yaml", tmp_path / "made"
    document.write_bytes(service.http.get("/schema/openapi.json").content)
    config.write_text(_CONFIG)
    home.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", str(document), "--config", str(config), "--output-path", str(home / _PACKAGE)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.findall("(?:WARNING|ERROR).*", done.stdout) == ["WARNING parsing POST /jobs/batch within jobs."], (
        done.stdout
    )
    assert "Unsupported content type application/x-ndjson" in done.stdout
    monkeypatch.syspath_prepend(home)
    yield _Made()
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]


def test_a_client_made_from_the_document_works(service: Service, made: _Made, token: str) -> None:
    with made.client(service, token) as client:
        _use(made, client, service)
    with made.client(service, "jl_nobody") as client:
        status, problem = made.call("list_jobs", client=client)
        assert (status, problem.type_) == (401, "/schema#key-not-accepted")


def _use(made: _Made, client: Any, service: Service) -> None:
    models = made.models

    # Created, waited for, and got.
    new_job = models.NewJob(type_=models.NewJobType.NOOP, payload={"n": 1}, tags=["made"])
    status, accepted = made.call("create_job", client=client, body=new_job, prefer="wait=30")
    assert status == 201
    assert accepted.job.status == models.JobViewStatus.COMPLETED
    status, job = made.call("get_job", accepted.job_id, client=client, include=models.GetJobInclude.PAYLOAD)
    assert (status, job.id, job.status, job.payload) == (200, accepted.job_id, "completed", {"n": 1})
    assert job.created_at.utcoffset() is not None
    assert job.due_at is None

    # Many at once, one of which cannot be.
    delayed = models.BatchJob(type_=models.BatchJobType.NOOP, payload=None, delay_seconds=600, idempotency_key="a")
    unsuited = models.BatchJob(type_=models.BatchJobType.NOOP, payload=None, delay_seconds=-1)
    status, batch = made.call("create_jobs", client=client, body=[delayed, unsuited])
    assert (status, batch.created, batch.refused) == (207, 1, 1)
    assert batch.items[1].problem.errors[0].field == "delaySeconds"
    waiting = batch.items[0].job_id

    # Cancelled, which cannot be done twice, and told why.
    reason = models.Reason(reason="made a mistake")
    status, cancelled = made.call("cancel_job", waiting, client=client, body=reason, if_match='"1"')
    assert (status, cancelled.status) == (200, models.JobViewStatus.CANCELLED)
    status, problem = made.call("cancel_job", waiting, client=client)
    assert isinstance(problem, models.ProblemDocument)
    assert (status, problem.state, problem.allowed) == (409, "Cancelled", ["retry"])
    status, retried = made.call("retry_job", waiting, client=client)
    assert (status, retried.status) == (200, models.JobViewStatus.PENDING)
    service.until_ended(str(waiting))

    # Looked for, in the list, in the job's own history and in the log.
    service.until(lambda: len(made.call("list_jobs", client=client, tag="made")[1].jobs) == 1)
    status, listed = made.call("list_jobs", client=client, status=models.ListJobsStatus.COMPLETED, tag="made", limit=1)
    assert (status, [found.id for found in listed.jobs]) == (200, [job.id])
    status, history = made.call("get_job_events", waiting, client=client)
    assert status == 200
    assert [event.type_ for event in history.events][:3] == ["Created", "Cancelled", "Queued"]
    assert {event.actor for event in history.events[:3]} == {"shop"}
    status, page = made.call("list_events", client=client, type_="Created", limit=1000)
    assert (status, [event.job_id for event in page.events]) == (200, [job.id, waiting])

    # What is not there.
    status, problem = made.call("get_job", UUID(int=0), client=client)
    assert (status, problem.type_) == (404, "/schema#job-not-found")
