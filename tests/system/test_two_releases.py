"""An upgrade while the service runs: processes of two releases beside each other on one log."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.postgres.migrate import known_migrations
from tests.conftest import free_port
from tests.system.service import Service

pytestmark = pytest.mark.usefixtures("unmeasured")

ROOT = Path(__file__).parents[2]


def next_release(home: Path, *, serves: int) -> Path:
    """Where a release lies that is this one and a migration more; first in PYTHONPATH, it is what a process runs."""
    release = home / "next release"
    shutil.copytree(ROOT / "sql", release / "sql")
    version = known_migrations()[-1].version + 1
    migration = f"-- Serves releases from {serves:04} on.\nalter table jobs add column note text;\n"
    (release / "sql" / "migrations" / f"{version:04}_next.sql").write_text(migration)
    return release


def migrate(service: Service, database_url: str, release: Path) -> str:
    environ = os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": str(release)}
    command = [sys.executable, "-P", "-m", "jobledger", "migrate"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.long_form
def test_releases_change_under_load_and_the_older_one_works_until_it_is_taken_away(
    service: Service, postgres_url: str, tmp_path: Path
) -> None:
    release = next_release(tmp_path, serves=known_migrations()[-1].version)
    newer: dict[str, Any] = {"PYTHONPATH": f"{release}{os.pathsep}{service.site}"}
    port = free_port()
    service.start("api", "dispatcher", "projector", "worker")

    with service.posting() as posted:
        posted.until_more(20)
        assert migrate(service, postgres_url, release).endswith("_next\n")
        posted.until_more(20)
        assert service.http.get("/readyz").status_code == 200
        assert service.http.get("/health").status_code == 200

        service.start("dispatcher 2", "projector 2", "worker 2", **newer)
        service.start("api 2", API_PORT=port, **newer)
        posted.until_more(20)
        service.stop("worker")
        service.start("worker")  # it crashed, say, or the change is taken back
        posted.until_more(20)
        service.stop("dispatcher", "projector", "worker")
        posted.until_more(20)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    service.stop("api")

    assert posted.errors == []
    assert posted.refused == []
    service.until_ended(*posted.accepted)


def test_a_schema_that_does_not_serve_the_older_release_turns_it_red(
    service: Service, postgres_url: str, tmp_path: Path
) -> None:
    release = next_release(tmp_path, serves=known_migrations()[-1].version + 1)
    service.start("api")
    migrate(service, postgres_url, release)

    answer = service.http.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the schema does not fit this release"])
