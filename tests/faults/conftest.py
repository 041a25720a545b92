"""The servers and the cluster of the fault tests. A file of tests shares them, as starting them takes longer than most faults."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.mail_server import MailServer
from tests.faults.network import Network
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import OwnPostgres, OwnValkey, own_postgres, own_valkey
from tests.system.conftest import pytest_runtest_makereport  # noqa: F401  # shows the lines of the processes


@pytest.fixture(scope="module", autouse=True)
def _unmeasured(unmeasured: None) -> None:
    """Most processes here are killed, and leave no measurements anyway."""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory for the servers of a file, which every user can pass through: PostgreSQL runs as another one under root."""
    home = Path(tempfile.mkdtemp(prefix="jobledger-faults-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres(home: Path, request: pytest.FixtureRequest) -> Iterator[OwnPostgres]:
    """A PostgreSQL for the tests of a file; POSTGRES there are its settings."""
    with own_postgres(home / "postgres", **getattr(request.module, "POSTGRES", {})) as server:
        yield server


@pytest.fixture(scope="module")
def valkey(home: Path, request: pytest.FixtureRequest) -> Iterator[OwnValkey]:
    """A Valkey for the tests of a file, which keeps nothing on its disk unless VALKEY_KEEPS there says so."""
    with own_valkey(home / "valkey", keeps=getattr(request.module, "VALKEY_KEEPS", False)) as server:
        yield server


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Links between the processes and the servers."""
    with Network() as made:
        yield made


@pytest.fixture(scope="module")
def running(home: Path, postgres: OwnPostgres, valkey: OwnValkey, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of a file. SETTINGS there are those of its processes; with NETWORK there are links to break."""
    network: Network | None = None
    if getattr(request.module, "NETWORK", False):
        network = request.getfixturevalue("network")
    directory = RunDirectory(home / "run")
    settings: dict[str, object] = getattr(request.module, "SETTINGS", {})
    with (
        MailServer(directory.mails) as mail,
        Cluster(directory, postgres=postgres, valkey=valkey, network=network, MAIL_PORT=mail.port, **settings) as made,
    ):
        yield made


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The cluster, complete, for one test."""
    running.start_all()
    return running


_ROW = re.compile(r"test_(\d+a?)_")  # as in test_19a_…: what the name of a row's test begins with


def row_of(item: pytest.Item) -> str | None:
    """The row of the fault suite that a test belongs to: "19a"; None for one that belongs to none."""
    found = _ROW.match(item.name)
    return found[1] if found and Path(__file__).parent in item.path.parents else None


@pytest.hookimpl(tryfirst=True)  # before the tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not the short form of its row is a long one; and all may wait long: for a liveness, a drained queue, a watchdog."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        if row_of(item) and item.get_closest_marker("short_form") is None:
            item.add_marker(pytest.mark.long_form)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))
