"""PostgreSQL is restarted under load, in the mode that is nearest to a crash."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from adapters.embedded.postgres import PostgresServer, prepare_postgres
from adapters.postgres.migrate import migrate
from domain.job import TRANSITIONS
from tests.conftest import free_port
from tests.system.service import EmbeddedServer, Service


@pytest.fixture(scope="module")
def durable_postgres(server_home: Path) -> PostgresServer:
    """One that keeps what it has committed, unlike that of the other tests; migrated, and not running."""
    home = server_home / "durable"
    home.mkdir(mode=0o711)
    postgres = prepare_postgres(home, port=free_port())
    with EmbeddedServer(postgres.program, postgres.is_ready):
        asyncio.run(migrate(postgres.url, TRANSITIONS))
    return postgres


def test_nothing_that_was_accepted_is_lost_and_no_process_needs_a_restart(
    tmp_path: Path, durable_postgres: PostgresServer, redis_url: str
) -> None:
    with (
        EmbeddedServer(durable_postgres.program, durable_postgres.is_ready) as server,
        Service(tmp_path, postgres_url=durable_postgres.url, redis_url=redis_url) as service,
    ):
        service.start("api", "dispatcher", "projector", "worker")
        gate = service.gate()
        running = service.post_many(3, "GATED", {"gate": str(gate)})
        service.until_begun(*running)
        with service.posting() as posted:
            posted.until_more(50)
            server.stop(signal.SIGQUIT)
            gate.touch()  # their outcomes have to be kept until they can be written
            service.until(lambda: len(service.tally(what="end")) == 3)
            assert service.http.get("/health").status_code == 503
            server.start()
            posted.until_more(50)
        assert set(posted.refused) <= {503}
        assert posted.errors == []
        service.until_ended(*running, *posted.accepted)
        assert {len(service.history(job_id)) for job_id in running} == {3}
        for process in service.processes.values():
            process.until_told("PostgreSQL away", "PostgreSQL back")
            unusual = [line for line in process.lines if line["level"] not in ("info", "debug")]
            assert [line["event"] for line in unusual] == ["dependency away"]
        assert all(process.is_running for process in service.processes.values())
        service.judge()


def test_a_stop_while_the_database_is_away_does_not_wait_for_it(
    tmp_path: Path, durable_postgres: PostgresServer, redis_url: str
) -> None:
    with (
        EmbeddedServer(durable_postgres.program, durable_postgres.is_ready) as server,
        Service(tmp_path, postgres_url=durable_postgres.url, redis_url=redis_url, LIVENESS_SECONDS=2) as service,
    ):
        everything = ("api", "dispatcher", "projector", "worker")
        service.start(*everything, SHUTDOWN_GRACE_SECONDS=2)
        gate = service.gate()
        job_id = service.post("GATED", {"gate": str(gate)})
        service.until_begun(job_id)
        server.stop(signal.SIGQUIT)
        gate.touch()
        service.until(lambda: bool(service.tally(job_id, "end")))
        service.stop(*everything)  # the outcome goes with its worker
        assert service["worker"].said("attempts stay open, and will be closed as lost")

        server.start()
        assert service.history(job_id) == ["Created", "Started"]
        service.start(*everything)
        service.until_ended(job_id)
        assert service.job(job_id)["attempts"] == 2
        service.judge()
