"""`jobledger doctor` against installations that really are broken, one thing at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uuid_utils

from tests.system.service import Service

# What the tests' own servers lack on purpose: they do not bother to reach the disk.
_ALWAYS = {("durability", "FAIL"), ("redis persistence", "WARN"), ("rights", "WARN")}


@pytest.fixture
def unjudged(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Service]:
    """One whose log will be damaged."""
    with Service(tmp_path, postgres_url=postgres_url, redis_url=redis_url) as made:
        yield made


@contextmanager
def evicting(service: Service) -> Iterator[None]:
    """Redis may throw away what lies in it."""
    service.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        yield
    finally:
        service.redis.config_set("maxmemory-policy", "noeviction")


@contextmanager
def replication_slot(service: Service) -> Iterator[str]:
    """A slot that keeps write-ahead log for nobody."""
    name = f"nobody_{uuid_utils.uuid7().hex}"
    service.ask("select pg_create_physical_replication_slot(%s, true)", name)
    try:
        yield name
    finally:
        service.ask("select pg_drop_replication_slot(%s)", name)


def examined_text(service: Service) -> str:
    return service.run("doctor").stdout


def examined(service: Service, **settings: str) -> tuple[int, list[dict[str, Any]]]:
    done = service.run("doctor", "--json", **settings)
    report = json.loads(done.stdout)
    assert report["healthy"] == (done.returncode == 0)
    findings: list[dict[str, Any]] = report["findings"]
    return done.returncode, findings


def bad(service: Service, **settings: str) -> dict[str, dict[str, Any]]:
    """What is not good, by check, but for what never is here."""
    code, findings = examined(service, **settings)
    assert code == 1
    wrong = [finding for finding in findings if finding["level"] != "OK"]
    assert all(finding["remedy"] for finding in wrong)
    return {one["check"]: one for one in wrong if (one["check"], one["level"]) not in _ALWAYS}


def test_what_is_broken_is_found_and_what_is_not_is_not(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    job_id = service.post("NOOP")
    service.until_ended(job_id)
    service.until(lambda: bad(service) == {}, saw=lambda: bad(service))

    with evicting(service), replication_slot(service) as name:
        found = bad(service)
    assert "allkeys-lru" in found["redis eviction"]["says"]
    assert name in found["replication slots"]["says"]
    found = bad(service, REDIS_URL="redis://127.0.0.1:1", KILL_AT="after-started")
    assert (found["redis"]["level"], found["settings"]["level"]) == ("FAIL", "FAIL")

    # Nobody works any more, and one worker dies with a job.
    gate = service.gate()
    running = service.post("GATED", {"gate": str(gate)})
    service.until_begun(running)
    service["worker"].kill()
    service.stop("dispatcher", "projector")
    found = bad(service)
    assert "none leads" in found["dispatcher"]["says"]
    assert found["workers"]["says"] == "no worker is alive"
    text = examined_text(service)
    assert "FAIL workers" in " ".join(text.split())
    assert "-> start `jobledger worker`" in text
    service.start("dispatcher", "projector", "worker")
    gate.touch()
    service.until_ended(running)


def test_a_database_that_nobody_has_touched_or_can_reach_is_told(service: Service, empty_postgres_url: str) -> None:
    assert "jobledger migrate" in bad(service, DATABASE_URL=empty_postgres_url)["schema"]["remedy"]
    assert bad(service, DATABASE_URL="postgresql://127.0.0.1:1/none")["postgresql"]["level"] == "FAIL"
    found = bad(service)
    assert found["dispatcher"]["level"] == "FAIL"
    assert found["workers"]["says"] == "none is registered: jobs are accepted and wait"
    assert found["queue"]["level"] == "WARN"


def test_an_event_of_a_newer_release_and_jobs_that_are_stuck_are_told(unjudged: Service) -> None:
    service = unjudged
    job_id = str(uuid_utils.uuid7())
    service.ask(
        "insert into events (position, job_id, version, type, data, actor, recorded_at)"
        " values (1, %s, 1, 'Paused', '{}', 'x', now() - interval '1 minute') returning 1",
        job_id,
    )
    service.ask(
        "insert into jobs (id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at,"
        " worker, due_at) select gen_random_uuid(), 2, state, 'T', 'high', 1, 0, 3, now() - interval '1 hour',"
        " now() - interval '1 hour', worker, due from (values ('Started', 'gone', null),"
        " ('Attempted', null, now() - interval '10 minutes')) v (state, worker, due) returning 1"
    )
    code, findings = examined(service)
    assert code == 1
    says = [f"{finding['level']} {finding['check']}: {finding['says']}" for finding in findings]
    assert any("FAIL lag of jobs" in one and "a Paused, which this release does not know" in one for one in says), says
    assert any(one.startswith("WARN jobs: 1 run for longer") for one in says), says
    assert any(one.startswith("FAIL jobs: 1 should have been queued") for one in says), says
    assert any(one.startswith("FAIL jobs: 1 were run by workers that are gone") for one in says), says
