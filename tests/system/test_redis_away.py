"""Redis is not there yet, or goes and comes back: the API goes on all the while, workers too, and every job ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.embedded.valkey import prepare_valkey
from domain.events import Started
from tests.conftest import free_port
from tests.proxy import Proxy, proxy_to
from tests.system.service import EmbeddedServer, Service

pytestmark = pytest.mark.usefixtures("unmeasured")


@contextmanager
def service_over_valkey(home: Path, postgres_url: str) -> Iterator[tuple[Service, EmbeddedServer]]:
    """A service, and the Valkey of its own, which keeps nothing. What it leaves in the log is judged."""
    (home / "server").mkdir()
    valkey = prepare_valkey(home / "server", port=free_port(), durable=False)
    with (
        EmbeddedServer(valkey.program, valkey.is_ready) as server,
        Service(home, postgres_url=postgres_url, redis_url=valkey.url) as service,
    ):
        yield service, server
        service.judge()


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
    with service_over_valkey(tmp_path, postgres_url) as (service, server):
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
        service["dispatcher"].until_told("Redis away", "Redis back")
        assert service["api"].told() == service["projector"].told() == []
        assert all(process.is_running for process in service.processes.values())


def test_a_thousand_jobs_end_while_redis_is_away_in_their_order_and_once(tmp_path: Path, postgres_url: str) -> None:
    with service_over_valkey(tmp_path, postgres_url) as (service, server):
        service.start("api", "dispatcher", "projector", "worker", "worker 2")
        before = service.post_many(2, "NOOP")
        service.until_ended(*before)
        service.stop("worker", "worker 2")
        server.stop(signal.SIGKILL)
        default = service.post_many(500, "NOOP")
        high = service.post_many(500, "NOOP", priority="high")
        service.start("worker", "worker 2")
        service.until_ended(*default, *high)

        workers = [service[name] for name in ("worker", "worker 2")]
        for worker in workers:
            said = worker.until_said("dependency away")
            assert said["meanwhile"] == "jobs are claimed directly from PostgreSQL"
        started = [one.job_id for one in service.log() if isinstance(one.event, Started)]
        assert set(started[2:502]) == set(high)
        assert set(started[502:]) == set(default)
        assert len(started) == 1002
        service.until(lambda: service.http.get("/health").json()["parts"]["workers"]["status"] == "degraded")

        server.start()  # empty, so all of it is relayed once more
        after = service.post_many(5, "NOOP")
        service.until_ended(*after)
        for worker in workers:
            assert worker.until_said("dependency back")["away_seconds"] > 0
            assert worker.told() == ["Redis away", "Redis back"]
        service.until(lambda: service.http.get("/health").json()["degraded"] == [])
        service.until(lambda: service.entries() == [], saw=service.entries)
        assert len(service.tally(what="begin")) == 1007
        assert service.verify("--drained") == (0, "all hold")


async def test_a_redis_that_says_nothing_is_worked_around_as_well(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    async with proxy_to(redis_url) as proxy:
        with Service(tmp_path, postgres_url=postgres_url, redis_url=redis_url) as service:
            await asyncio.to_thread(_work_around_silence, service, proxy, proxy.url(redis_url))
            service.judge()


def _work_around_silence(service: Service, proxy: Proxy, redis_url: str) -> None:
    service.start("api", "dispatcher", "projector")
    service.start("worker", REDIS_URL=redis_url)
    service.until_ended(service.post("NOOP"))
    proxy.black_hole()
    service.until_ended(*service.post_many(20, "NOOP"))
    assert service["worker"].until_said("dependency away")["dependency"] == "Redis"
    proxy.heal()
    service["worker"].until_said("dependency back")
    service.until_ended(*service.post_many(20, "NOOP"))
    service.until(lambda: service.entries() == [], saw=service.entries)
