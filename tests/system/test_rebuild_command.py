"""`jobledger rebuild jobs` as its user meets it: beside a service at work, interrupted, killed, and what it prints where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.forking import run_module
from tests.good_logs import append_for_real, many_histories, side_by_side
from tests.real_log import Database, connected, head
from tests.rebuilding import bytes_of, leftovers, rebuilt
from tests.system.service import WITHIN, Service
from tests.until import until_now
from tests.verifying import broken, verified

pytestmark = pytest.mark.usefixtures("unmeasured")

_FOUND = "select count(*) from pg_stat_activity where application_name = 'jobledger rebuild' and datname = current_database()"


def _start(url: str, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobledger", "rebuild", "jobs", *argv],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _rebuild(url: str, *argv: str) -> tuple[int, str, str]:
    done = run_module("jobledger", "rebuild", "jobs", *argv, environ=os.environ | {"DATABASE_URL": url}, timeout=WITHIN)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def url(postgres_url: str) -> str:
    """A database with a good log."""
    await append_for_real(postgres_url, side_by_side(many_histories(10)))
    return postgres_url


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with connected(url) as db:
        yield db


def test_what_it_prints_and_its_exit_codes(url: str, db: Database) -> None:
    code, said, complained = _rebuild(url, "--dry-run")
    assert (code, complained) == (0, "")
    assert said.startswith("jobs is what the log says; nothing was replaced (--dry-run)\n")

    [[job_id]] = db.execute("select min(id::text) from jobs").fetchall()
    db.execute("update jobs set priority = 'low' || E'\\x1b[31m', result = '{}' where id = %s", [job_id])
    for argv, hint in (("--dry-run",), "--dry-run"), ((), "--accept-differences"):
        code, said, complained = _rebuild(url, *argv)
        assert (code, complained) == (3, "")
        lines = said.splitlines()
        assert lines[0].startswith(f"job {job_id}: priority is low")
        assert lines[0].endswith("; result is not the log's")
        assert "\x1b" not in said
        assert lines[1] == "1 rows differ: priority ×1, result ×1"
        assert lines[2].startswith("jobs is not what the log says; nothing was replaced")
        assert hint in lines[2]

    code, said, complained = _rebuild(url, "--accept-differences", "--workers", "1")
    assert (code, complained) == (0, "")
    assert "jobs is the new table; the old one is kept as jobs_old\n" in said
    assert f"jobs of {head(db):,} events in " in said

    code, said, _ = _rebuild(url, "--drop-old")
    assert (code, said.splitlines()[0]) == (0, "jobs is the new table; the old one is dropped")


def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(url: str, db: Database) -> None:
    db.execute("update events set type = 'Paused' where false")
    db.execute("create materialized view counted as select count(*) from jobs")
    for target, reason in (
        (url, "materialized view counted"),
        ("postgresql://nobody@127.0.0.1:1/none", "begin a rebuild"),
        ("", "DATABASE_URL is not set"),
    ):
        code, said, complained = _rebuild(target)
        assert (code, said) == (2, "")
        assert complained.startswith("jobledger: ")
        assert complained.count("\n") == 1
        assert reason in complained


# What is said of an attempt that fails.
_USUAL = {"the code of the job type raised"}

# Where a rebuild can be held up by who holds what, and what it has made by then.
_STAGES: dict[str, tuple[str, Callable[[Database], bool]]] = {
    "begin": ("lock table events in access exclusive mode", lambda db: "jobs_next" in leftovers(db)),
    "compare": (
        "select from checkpoints where name = 'jobs' for update",
        lambda db: db.execute("select 1 from checkpoints where name = 'jobs_next'").fetchall() != [],
    ),
    "swap": (
        "lock table jobs in access share mode",
        lambda db: (
            db.execute(
                "select 1 from pg_locks where relation = 'jobs'::regclass and mode like 'ShareUpdate%%'"
            ).fetchall()
            != []
        ),
    ),
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_it_can_be_ended_anywhere_and_started_again(url: str, db: Database, number: signal.Signals) -> None:
    before = bytes_of(db)
    for obstacle, is_there in _STAGES.values():
        with connected(url) as holder, holder.transaction():
            holder.execute(obstacle.encode())
            process = _start(url)
            try:
                until_now(partial(is_there, db), within=WITHIN)
                process.send_signal(number)
                said, complained = process.communicate(timeout=WITHIN)
            finally:
                process.kill()
        until_now(lambda: db.execute(_FOUND).fetchall() == [(0,)], within=WITHIN)
        assert said == ""
        if number == signal.SIGKILL:
            assert leftovers(db) != []
        else:
            assert leftovers(db) == []
            assert process.returncode == 128 + number
            assert complained == "jobledger: interrupted; the service is as it was\n"
        assert bytes_of(db) == before
    assert broken(await verified(url)) == {}
    assert (await rebuilt(url)).swapped
    assert bytes_of(db) == before
    assert leftovers(db) == []


def test_a_service_at_work_goes_on_and_misses_nothing(service: Service, postgres_url: str) -> None:
    service.start("api", "dispatcher", "projector", "projector 2", "worker")
    with service.posting() as posted, connected(postgres_url) as db:
        posted.until_more(50)
        for argv in (("--workers", "1"), ("--drop-old",), ("--dry-run",), ()):
            ids = posted.accepted[-10:]
            code, said, complained = _rebuild(postgres_url, *argv)
            assert (code, complained) == (0, ""), said
            posted.until_more(20)
            assert {service.job(job_id)["id"] for job_id in ids} == set(ids)
        retried = service.post("FLAKY", {"times": 1})
    assert posted.refused == []
    assert posted.errors == []
    service.until_ended(*posted.accepted, retried)
    with connected(postgres_url) as db:
        service.until(
            lambda: db.execute("select position from checkpoints where name = 'jobs'").fetchall() == [(head(db),)]
        )
        statuses = db.execute("select status, count(*) from jobs group by 1").fetchall()
        assert statuses == [("completed", len(posted.accepted) + 1)]
    troubles = [
        line
        for process in service.processes.values()
        for line in process.lines
        if line["level"] in {"warning", "error"}
    ]
    assert [line for line in troubles if line["event"] not in _USUAL] == []
