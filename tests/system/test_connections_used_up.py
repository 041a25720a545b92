"""PostgreSQL takes no more connections: clients are told when to come again, and everything heals by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from adapters.embedded.postgres import PostgresServer, prepare_postgres
from adapters.postgres.migrate import migrate
from domain.job import TRANSITIONS
from tests.conftest import free_port
from tests.system.service import EmbeddedServer, Service

_NOOP = {"type": "NOOP", "payload": None}
_CONNECTIONS = 30  # of which the service needs about twenty


@pytest.fixture
def postgres(server_home: Path) -> PostgresServer:
    """One that takes few connections; migrated, and not running."""
    home = server_home / "few connections"
    home.mkdir(mode=0o711)
    postgres = prepare_postgres(home, port=free_port(), durable=False)
    with EmbeddedServer(postgres.program, postgres.is_ready):
        asyncio.run(migrate(postgres.url, TRANSITIONS))
        with psycopg.connect(postgres.url, autocommit=True) as db:
            db.execute(f"alter system set max_connections = {_CONNECTIONS}")
    return postgres


@contextmanager
def connections_taken(url: str) -> Iterator[None]:
    """Take every connection that is to be had, also those that others have, and each that becomes free."""
    taken = [psycopg.connect(url, application_name="taken", autocommit=True)]
    is_over = threading.Event()

    def others() -> int:
        """Cut off everybody else; answers how many there were."""
        rows = (
            taken[0]
            .execute(
                "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity"
                " where backend_type = 'client backend' and application_name <> 'taken'"
            )
            .fetchall()
        )
        return int(rows[0][0])

    def take() -> None:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(url, application_name="taken", autocommit=True, connect_timeout=5))

    def go_on_taking() -> None:
        while not is_over.wait(0.05):
            take()

    take()
    while others():
        take()
    thread = threading.Thread(target=go_on_taking)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        for connection in taken:
            connection.close()


def test_requests_are_answered_503_with_a_time_to_come_again_and_afterwards_all_goes_on(
    tmp_path: Path, postgres: PostgresServer, redis_url: str
) -> None:
    with (
        EmbeddedServer(postgres.program, postgres.is_ready),
        Service(tmp_path, postgres_url=postgres.url, redis_url=redis_url) as service,
    ):
        names = ("api", "dispatcher", "projector", "worker")
        service.start(*names)
        before = service.post_many(3, "NOOP")
        service.until_ended(*before)
        with connections_taken(postgres.url):
            begin = time.monotonic()
            said = {name: len(service[name].lines) for name in names}
            with ThreadPoolExecutor(6) as threads:
                posts = [threads.submit(service.http.post, "/jobs", json=_NOOP) for _ in range(3)]
                gets = [threads.submit(service.http.get, f"/jobs/{before[0]}") for _ in range(3)]
            answers = [request.result() for request in posts + gets]
            readiness = service.http.get("/readyz")
            lasted = time.monotonic() - begin
            for name in names:  # those that were back for a moment while the connections were taken say it only now
                service.until(lambda name=name: service[name].told()[-1:] == ["PostgreSQL away"])  # type: ignore[misc]
                assert len(service[name].lines) - said[name] <= 1
        assert [answer.status_code for answer in answers] == [503] * 6
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert readiness.status_code == 503
        assert lasted > 3  # else one line would be no wonder

        service.until(lambda: service.http.get("/readyz").status_code == 200)
        after = service.post_many(3, "NOOP")
        service.until_ended(*after)
        for name in names:
            service.until(lambda name=name: service[name].told()[-1:] == ["PostgreSQL back"])  # type: ignore[misc]
            assert service[name].is_running
        service.judge()
