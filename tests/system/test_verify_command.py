"""`jobledger verify` as its user meets it: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.damages import do_damage, say
from tests.forking import run_module
from tests.good_logs import append_for_real, many_histories, side_by_side
from tests.real_log import connected
from tests.until import until_now

_SETTINGS = {"RETRY_MAX_SECONDS": "6", "REDIS_URL": ""}  # as the histories have it


def _verify(url: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return run_module("jobledger", "verify", *argv, environ=os.environ | _SETTINGS | {"DATABASE_URL": url})


async def test_all_hold_some_do_not(postgres_url: str) -> None:
    await append_for_real(postgres_url, side_by_side(many_histories(20)))

    good = _verify(postgres_url)

    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.endswith("\nall hold\n")
    assert "BROKEN" not in good.stdout

    do_damage(postgres_url, say("type = 'Completed'", worker='"somebody else"'))

    bad = _verify(postgres_url, "--workers", "1")
    assert (bad.returncode, bad.stderr) == (3, "")
    assert "\nA2  BROKEN ×1" in bad.stdout
    assert "of worker somebody else, but attempt" in bad.stdout
    assert bad.stdout.endswith("1 violation (up to 20 of each check are shown)\n")

    document = json.loads(_verify(postgres_url, "--format", "json", "--thorough").stdout)
    assert document["holds"] is False
    [a2] = [check for check in document["checks"] if check["violations"]]
    assert (a2["name"], a2["violations"], a2["first"][0]["check"]) == ("A2", 1, "A2")
    position = a2["first"][0]["position"]
    assert document["digest"].startswith("sha256:")

    before = _verify(postgres_url, "--to-position", str(position - 1))
    assert before.returncode == 0
    after = _verify(postgres_url, "--from-position", str(position + 1), "--policy-waits-only")
    assert "A2  holds" in after.stdout
    assert after.returncode == 3  # the histories ask for waits of their own
    assert "A7  BROKEN" in after.stdout
    drained = _verify(postgres_url, "--drained")
    assert drained.returncode == 3
    assert "L1  BROKEN" in drained.stdout
    assert "L2  not checked" in drained.stdout


def test_a_database_that_is_away_cannot_be_checked() -> None:
    done = _verify("postgresql://nobody@127.0.0.1:1/none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("jobledger: verify the log: ")
    assert done.stderr.count("\n") == 1


def test_a_database_that_is_not_named_cannot_be_checked() -> None:
    done = _verify("")
    assert (done.returncode, done.stdout) == (2, "")
    assert "DATABASE_URL is not set" in done.stderr


def test_a_database_without_the_schema_cannot_be_checked(empty_postgres_url: str) -> None:
    done = _verify(empty_postgres_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`jobledger migrate`" in done.stderr


def test_a_table_that_is_missing_cannot_be_checked(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute("drop table jobs")
        db.execute("create table jobs (id uuid)")
    done = _verify(postgres_url)
    # An empty log has nothing to be read against it, but the question itself cannot be asked.
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_queue_that_is_away_cannot_be_checked(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute("update dispatcher_lease set relayed_position = 0")
    environ = os.environ | {"DATABASE_URL": postgres_url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = run_module("jobledger", "verify", "--drained", environ=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "look at the queue" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_ends_it_at_once_and_its_statements_too(postgres_url: str, number: signal.Signals) -> None:
    with connected(postgres_url) as db:

        def waiting() -> bool:
            found = db.execute(
                "select count(*) from pg_stat_activity"
                " where application_name = 'jobledger verify' and wait_event_type = 'Lock'"
            ).fetchone()
            return found is not None and found[0] > 0

        with connected(postgres_url) as holder, holder.transaction():
            holder.execute("lock table events in access exclusive mode")
            process = subprocess.Popen(
                [sys.executable, "-m", "jobledger", "verify"],
                env=os.environ | _SETTINGS | {"DATABASE_URL": postgres_url},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                until_now(waiting, within=60)
                process.send_signal(number)
                said, complained = process.communicate(timeout=60)
            finally:
                process.kill()
            assert (process.returncode, said) == (130, "")
            assert complained == "jobledger: interrupted; nothing was changed\n"
            until_now(lambda: not waiting(), within=60)
