"""Row 19: the clock of a process jumps by hours, and PostgreSQL's steps back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.events import Attempted, Failed
from tests.faults.clocks import Clock, clear_after
from tests.faults.cluster import APIS, EVERYTHING, LIVENESS, PROJECTORS, WORKERS, Cluster
from tests.faults.mail_server import MailServer
from tests.faults.run import under_load
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import OwnPostgres, OwnValkey, own_postgres

_WITHOUT_WAITS = {"TALLIED": 50.0, "TALLIED_SLOW": 10.0, "CSV_EXPORT": 12.0, "EMAIL_SEND": 6.0}
_DELAY = 2  # seconds that a job is to wait


class ClockedCluster(Cluster):
    """Each process has a clock of its own."""

    clocks: dict[str, Clock]

    def settings_of(self, name: str) -> dict[str, object]:
        """See Cluster.settings_of; and the clock."""
        return {**super().settings_of(name), **self.clocks[name].environ}


@pytest.fixture(scope="module")
def postgres_clock(home: Path) -> Clock:
    return Clock(home, "postgres")


@pytest.fixture(scope="module")
def postgres(home: Path, postgres_clock: Clock) -> Iterator[OwnPostgres]:
    """One that lives by a clock of its own."""
    with own_postgres(home / "postgres", environ=postgres_clock.environ) as server:
        yield server


@pytest.fixture(scope="module")
def running(home: Path, postgres: OwnPostgres, valkey: OwnValkey) -> Iterator[ClockedCluster]:
    directory = RunDirectory(home / "run")
    with (
        MailServer(directory.mails) as mail,
        ClockedCluster(directory, postgres=postgres, valkey=valkey, MAIL_PORT=mail.port) as cluster,
    ):
        cluster.clocks = {name: Clock(home, name) for name in EVERYTHING}
        yield cluster


def test_19_processes_whose_clocks_jump_by_hours_keep_to_due_times_and_lose_nobody(cluster: ClockedCluster) -> None:
    head = cluster.head()
    workers = [cluster.worker_id(name) for name in WORKERS]
    with under_load(cluster, rate=20) as burden:
        burden.until_more(10)
        for hours in (2, -2, 0):
            for name in (APIS[0], cluster.leader(), PROJECTORS[0], WORKERS[0]):
                cluster.clocks[name].set(hours=hours)
            if hours > 0:
                cluster.until(lambda: _made_at(cluster.post("TALLIED")) > datetime.now(UTC) + timedelta(hours=1.9))
            waiting = cluster.post_with_key(cluster.new_key(), "TALLIED", None, delaySeconds=_DELAY)
            burden.until_more(20)
            cluster.until_ended(waiting, within=_DELAY + 15)
            created, *_, completed = (one.recorded_at for one in cluster.log(waiting))
            assert completed - created >= timedelta(seconds=_DELAY)
    assert _lost(cluster, head) == []
    assert [cluster.worker_id(name) for name in WORKERS] == workers


def test_19_a_database_clock_that_steps_back_stops_nothing_but_waits_and_no_recorded_time_falls(
    cluster: ClockedCluster, postgres_clock: Clock
) -> None:
    with under_load(cluster, rate=20, mix=_WITHOUT_WAITS) as burden:
        burden.until_more(10)
        head = cluster.head()
        before = cluster.log()[-1].recorded_at
        leader = cluster.leader()
        cluster.kill(leader)  # so that the lease is one of the time before
        clear_after(cluster[leader].pid)
        postgres_clock.set(hours=-2)
        cluster.until(lambda: _now(cluster) < before - timedelta(hours=1))

        began = time.monotonic()
        jobs = cluster.post_many(5, "TALLIED")
        cluster.until_ended(*jobs, within=20)
        flaky = cluster.post("TALLIED_FLAKY", {"times": 1})
        cluster.until(lambda: cluster.history(flaky) == ["Created", "Started", "Attempted"])
        burden.until_more(20)
        cluster.until(lambda: time.monotonic() - began > 2 * LIVENESS)  # whoever is given up for it is given up now
        assert cluster.leader_now() is not None
        assert cluster.history(flaky) == ["Created", "Started", "Attempted"]
        assert {one.recorded_at for one in cluster.log(*jobs)} == {cluster.log()[-1].recorded_at}

        postgres_clock.set(hours=0)
        cluster.until_ended(flaky)
    assert _lost(cluster, head) == []


def _made_at(job_id: str) -> datetime:
    """What the clock of the API said when it made the id, a UUID of version 7."""
    return datetime.fromtimestamp((UUID(job_id).int >> 80) / 1000, UTC)


def _now(cluster: Cluster) -> datetime:
    [(now,)] = cluster.ask("select clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def _lost(cluster: Cluster, head: int) -> list[str]:
    return [
        one.job_id
        for one in cluster.log()
        if one.position > head and isinstance(one.event, Attempted | Failed) and one.event.outcome == "lost"
    ]
