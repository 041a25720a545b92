"""Redis is not there yet, or goes and comes back: the API goes on all the while, and every job ends."""

from __future__ import annotations

import signal
from pathlib import Path

from adapters.embedded.valkey import prepare_valkey
from tests.conftest import free_port
from tests.system.service import EmbeddedServer, Service


def test_the_api_takes_jobs_while_nothing_else_runs_and_says_what_is_missing(service: Service) -> None:
    service.start("api", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    jobs = [*service.post_many(3, "NOOP"), service.post("NOOP", priority="high")]
    answer = service.http.get("/health")
    assert answer.status_code == 200
    assert (answer.json()["status"], set(answer.json()["degraded"])) == ("ok", {"redis", "dispatcher", "workers"})
    assert service.job(jobs[0])["status"] == "pending"

    service.start("dispatcher", "projector", "worker")
    service.until_ended(*jobs)
    service.until(lambda: service.http.get("/health").json()["degraded"] == [])


def test_a_redis_that_goes_and_comes_back_under_load_stops_nobody_and_the_backlog_ends(
    tmp_path: Path, postgres_url: str
) -> None:
    (tmp_path / "server").mkdir()
    valkey = prepare_valkey(tmp_path / "server", port=free_port(), durable=False)
    with (
        EmbeddedServer(valkey.program, valkey.is_ready) as server,
        Service(tmp_path, postgres_url=postgres_url, redis_url=valkey.url) as service,
    ):
        service.start("api", "dispatcher", "projector", "worker")
        with service.posting() as posted:
            posted.until_more(50)
            server.stop(signal.SIGKILL)
            posted.until_more(50)
            service.until(lambda: "redis" in service.http.get("/health").json()["degraded"])
            server.start()  # empty: it kept nothing
            posted.until_more(50)
        assert (posted.refused, posted.errors) == ([], [])
        service.until_ended(*posted.accepted)
        assert all(process.is_running for process in service.processes.values())
        service.judge()
