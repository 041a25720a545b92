"""Shows what the processes said when a system test fails, and makes what such tests share."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import redis

from adapters.embedded.postgres import PostgresServer
from adapters.embedded.valkey import ValkeyServer
from tests.conftest import migrated_database
from tests.system.service import Service, open_services


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the lines of every running service to the report of a failure."""
    report = yield
    if report.failed:
        report.sections += [("the service's processes", service.told()) for service in open_services]
    return report


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Service]:
    """One for a single test; no process runs yet. What it leaves in the log is judged."""
    with Service(tmp_path, postgres_url=postgres_url, redis_url=redis_url) as made:
        yield made
        made.judge()


@pytest.fixture(scope="module")
def backbone(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    migrated_template: str,
    valkey_server: ValkeyServer,
) -> Iterator[Service]:
    """Everything but workers, for all tests of a module, whose SETTINGS (if it has any) are the service's."""
    settings: dict[str, object] = getattr(request.module, "SETTINGS", {})
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    with (
        migrated_database(postgres_server, migrated_template) as url,
        Service(tmp_path_factory.mktemp("service"), postgres_url=url, redis_url=valkey_server.url, **settings) as made,
    ):
        made.start("api", "dispatcher", "projector")
        yield made


@pytest.fixture
def shared(backbone: Service) -> Iterator[Service]:
    """The backbone for one test, which starts its own workers; they are gone afterwards, and the log is judged."""
    backbone.start(*(name for name in ("api", "dispatcher", "projector") if not backbone[name].is_running))
    yield backbone
    backbone.end(*(name for name, process in backbone.processes.items() if process.kind == "worker"))
    backbone.judge()
