"""`jobledger health`, as containers call it: what it says of processes that work, stand still, or are away."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg
import pytest

from entrypoints.process import host_of, unique_name
from tests.conftest import free_port
from tests.system.service import Service

_HEALTHY = (0, "")


def test_processes_that_work_are_healthy(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    service["dispatcher"].until_said("leading")
    for name in ("api", "dispatcher", "projector", "worker"):
        assert _check(service, name) == _HEALTHY


def test_a_worker_is_not_healthy_before_it_is_registered_nor_while_it_stands_still(service: Service) -> None:
    service.ask("insert into workers (id, claims_from) values ('another-host-7-abcdef', 'streams') returning id")
    assert "no worker is registered" in _complaint(service, "worker")
    service.start("worker")
    assert _check(service, "worker") == _HEALTHY
    service["worker"].pause()
    assert "has not moved" in _complaint(service, "worker")
    service["worker"].resume()
    assert _check(service, "worker") == _HEALTHY


def test_a_worker_that_claims_without_redis_is_healthy_and_says_so_and_one_that_cannot_claim_is_not(
    service: Service, postgres_url: str
) -> None:
    service.start("worker", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    service["worker"].until_said("dependency away")
    service.until(lambda: service.ask("select claims_from from workers") == [("jobs",)])
    code, said = _check(service, "worker")
    assert (code, said.partition(":")[0]) == (0, "degraded")

    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("alter table jobs rename column attempts to gone")
    service.until(lambda: service.ask("select claims_from from workers") == [(None,)])
    assert "can claim jobs neither by Redis nor directly from PostgreSQL" in _complaint(service, "worker")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("alter table jobs rename column gone to attempts")
    service.until(lambda: service.ask("select claims_from from workers") == [("jobs",)])


def test_the_host_of_a_process_is_read_from_its_name_whatever_hyphens_are_in_it() -> None:
    assert host_of("my-own-host-7-abcdef") == "my-own-host"
    assert host_of(unique_name()) == os.uname().nodename


def test_a_dispatcher_that_stands_still_is_not_healthy_once_its_lease_is_over(service: Service) -> None:
    service.start("dispatcher")
    service["dispatcher"].until_said("leading")
    service["dispatcher"].pause()
    service.until(lambda: service.ask("select expires_at < clock_timestamp() from dispatcher_lease") == [(True,)])
    assert "nobody holds the lease" in _complaint(service, "dispatcher")


def test_a_projector_is_not_healthy_when_an_event_has_waited_for_too_long(service: Service) -> None:
    service.start("api", "projector")
    service["projector"].pause()
    assert _check(service, "projector") == _HEALTHY  # nothing waits
    service.post("NOOP")
    assert _check(service, "projector") == _HEALTHY  # not for long
    assert "has waited" in _complaint(service, "projector", READY_MAX_LAG_SECONDS="0.001")
    service["projector"].resume()
    service.until(lambda: _check(service, "projector", READY_MAX_LAG_SECONDS="0.001") == _HEALTHY)


@pytest.mark.parametrize("name", ["dispatcher", "projector", "worker"])
def test_where_postgres_cannot_be_asked_nothing_is_called_healthy(service: Service, name: str) -> None:
    nowhere = f"postgresql://127.0.0.1:{free_port()}/jobs_db"
    assert f"nobody can tell how the {name} is" in _complaint(service, name, DATABASE_URL=nowhere)


def test_a_schema_of_another_release_is_not_healthy(empty_postgres_url: str, service: Service) -> None:
    assert "schema does not fit" in _complaint(service, "projector", DATABASE_URL=empty_postgres_url)


def test_an_api_that_does_not_answer_is_not_healthy(service: Service) -> None:
    assert "does not answer" in _complaint(service, "api")


def test_an_api_that_answers_503_is_not_healthy_and_no_proxy_is_asked_instead(service: Service) -> None:
    with HTTPServer(("127.0.0.1", 0), _Unavailable) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            somewhere = {"API_HOST": "0.0.0.0", "API_PORT": str(server.server_port)}
            said = _complaint(service, "api", http_proxy=f"http://127.0.0.1:{free_port()}", **somewhere)
        finally:
            server.shutdown()
            thread.join()
    assert "GET /health answers 503" in said


class _Unavailable(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _check(service: Service, name: str, **settings: str) -> tuple[int, str]:
    """The exit code, and what was written."""
    done = service.run("health", name, **settings)
    return done.returncode, done.stdout


def _complaint(service: Service, name: str, **settings: str) -> str:
    """The one sentence about a process that is not healthy."""
    code, said = _check(service, name, **settings)
    assert code == 1, said
    assert said.startswith("jobledger: ")
    assert said.count("\n") == 1
    return said
