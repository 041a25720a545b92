"""Row 17, and the disks of PostgreSQL: each becomes full under load, or read-only, and then has room again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from domain.events import Attempted
from tests.faults.cluster import EVERYTHING, WORKERS, Cluster
from tests.faults.mail_server import MailServer
from tests.faults.run import judged, under_load, until_idle
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import OwnPostgres, OwnValkey, own_postgres
from tests.faults.small_disk import SmallDisk, small_disk

_ROWS = [{"number": number, "text": "x" * 200} for number in range(3_000)]  # more than the limit of a results disk
_WAL: dict[str, Any] = {
    "min_wal_size": "32MB",
    "max_wal_size": "32MB",
    "wal_recycle": "off",
}  # so that a small disk holds it
_POSTS = 80  # of large jobs, by which a full disk must have been met


class Disks:
    """Those of the cluster below."""

    data: SmallDisk
    wal: SmallDisk
    results: SmallDisk


@pytest.fixture(scope="module")
def disks() -> Disks:
    """Filled by the fixtures that put something on them."""
    return Disks()


@pytest.fixture(scope="module")
def postgres(home: Path, disks: Disks) -> Iterator[OwnPostgres]:
    """Its data on one small disk, its write-ahead log on another."""
    servers: list[OwnPostgres] = []
    with ExitStack() as stack:

        def small(name: str, *, limit: int) -> SmallDisk:
            place = home / name
            place.mkdir(mode=0o711)
            return stack.enter_context(
                small_disk(
                    place, megabytes=96, limit=limit, writers=lambda: [one.pid for one in servers if one.is_running]
                )
            )

        disks.data = small("data", limit=16 << 20)  # a segment of the write-ahead log has that size
        disks.wal = small("wal", limit=1 << 20)
        server = stack.enter_context(own_postgres(home / "data" / "postgres", wal=home / "wal" / "pg_wal", **_WAL))
        servers.append(server)
        yield server


@pytest.fixture(scope="module")
def running(home: Path, postgres: OwnPostgres, valkey: OwnValkey, disks: Disks) -> Iterator[Cluster]:
    """A cluster whose results have a small disk of their own."""
    directory = RunDirectory(home / "run")
    made: list[Cluster] = []
    with (
        small_disk(
            directory.output,
            megabytes=8,
            limit=1 << 18,
            writers=lambda: [one[name].pid for one in made for name in WORKERS],
        ) as disks.results,
        MailServer(directory.mails) as mail,
        Cluster(directory, postgres=postgres, valkey=valkey, MAIL_PORT=mail.port) as cluster,
    ):
        made.append(cluster)
        yield cluster


@pytest.mark.parametrize("how", [pytest.param("full", marks=pytest.mark.short_form), "read-only"])
def test_17_exports_without_room_fail_leave_nothing_behind_and_succeed_once_there_is_some(
    cluster: Cluster, disks: Disks, how: str
) -> None:
    until_idle(cluster)
    before = _files(cluster)
    disks.results.fill() if how == "full" else disks.results.forbid()
    jobs = [cluster.post("CSV_EXPORT", {"data": _ROWS}) for _ in range(3)]
    cluster.until(lambda: all("Attempted" in cluster.history(job_id) for job_id in jobs))
    if how == "full":
        assert _files(cluster) == before  # nothing torn, nothing temporary
    disks.results.heal()
    cluster.until_ended(*jobs)
    for job_id in jobs:
        first = next(one.event for one in cluster.log(job_id) if isinstance(one.event, Attempted))
        assert first.outcome == "error"
        error = cluster.ask("select content::text from events where job_id = %s and type = 'Attempted'", job_id)[0][0]
        assert f"{job_id}.csv" in error
        assert (cluster.directory.output / f"{job_id}.csv").stat().st_size > 1 << 19
    until_idle(cluster)
    judged(cluster)


def test_17_a_full_data_disk_of_postgres_is_told_by_503_and_nothing_needs_a_restart_once_it_has_room(
    cluster: Cluster, disks: Disks
) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    server = cluster.postgres.pid
    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        known = cluster.post("TALLIED")
        with cluster.faults.fault("data disk full"):
            disks.data.fill()
            key, payload = _post_until_refused(cluster)
            answer = cluster.http.post("/jobs", json={"type": "TALLIED", "payload": secrets.token_hex(300_000)})
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert cluster.http.get(f"/jobs/{known}").status_code == 200
            assert cluster.http.get("/livez").status_code == 200
            disks.data.heal()
        burden.until_more(15)
        cluster.until_ended(known, cluster.post_with_key(key, "TALLIED", payload))
    assert {name: cluster[name].pid for name in EVERYTHING} == processes
    assert cluster.postgres.pid == server


def test_17_a_full_disk_below_the_write_ahead_log_ends_postgres_which_loses_nothing_when_it_is_started_with_room(
    cluster: Cluster, disks: Disks
) -> None:
    processes = {name: cluster[name].pid for name in EVERYTHING}
    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        with cluster.faults.fault("disk of the write-ahead log full"):
            disks.wal.fill()
            _post_until_refused(cluster)
            cluster.until(lambda: not cluster.postgres.is_running)
            assert cluster.http.post("/jobs", json={"type": "TALLIED", "payload": None}).status_code == 503
            disks.wal.heal()
            cluster.postgres.start()
        burden.until_more(15)
    assert {name: cluster[name].pid for name in EVERYTHING} == processes


def _files(cluster: Cluster) -> set[str]:
    return {path.name for path in cluster.directory.output.iterdir()} - {".filler"}


def _post_until_refused(cluster: Cluster) -> tuple[str, object]:
    """Post large jobs until one is not accepted; gives its key and payload."""
    for _ in range(_POSTS):
        key, payload = cluster.new_key(), {"text": secrets.token_hex(300_000)}
        try:
            cluster.post_with_key(key, "TALLIED", payload)
        except AssertionError:
            return key, payload
    raise AssertionError(f"{_POSTS} large jobs are all accepted")
