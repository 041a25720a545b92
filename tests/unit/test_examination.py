"""What `jobledger doctor` says of an installation: of each thing that is wrong, and of nothing that is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from commands.examination import (
    Finding,
    judge_disk,
    judge_jobs,
    judge_postgres,
    judge_redis,
    judge_rights,
    judge_standing,
    judge_workers,
)
from commands.examined_facts import JobFacts, PostgresFacts, RedisFacts
from commands.standing import ReaderStanding, Standing

POSTGRES: dict[str, Any] = {
    "version": "18.0",
    "version_number": 180_000,
    "is_replica": False,
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "connections": 10,
    "max_connections": 100,
    "database_bytes": 1 << 20,
    "clock_apart": 0.1,
    "oldest_transaction": 0.0,
    "slots": [("replica", True, "reserved", 1000)],
}
REDIS: dict[str, Any] = {
    "name": "Valkey 9.0.0",
    "compatible_with": "7.2.4",
    "is_cluster": False,
    "role": "master",
    "eviction_policy": "noeviction",
    "used_bytes": 10,
    "max_bytes": 100,
    "appends_to_file": True,
    "saves": False,
    "write_problem": "",
    "clock_apart": -0.1,
    "log_id": "ours",
    "parked": {},
}


def bad(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """What is not good. Whatever that is comes with what to do, and what is good with nothing."""
    found = list(findings)
    assert all(bool(finding.remedy) == (finding.level != "OK") for finding in found)
    return [(finding.check, finding.level) for finding in found if finding.level != "OK"]


def test_nothing_is_said_against_what_is_good() -> None:
    assert bad(judge_postgres(PostgresFacts(**POSTGRES))) == []
    assert bad(judge_redis(RedisFacts(**REDIS), log_id="ours")) == []
    assert bad(judge_rights([], [])) == []
    assert bad(judge_jobs(JobFacts(running_long=(0, None), overdue=(0, None), unclosed=(0, None)), timeout=300)) == []
    assert bad([judge_disk("OUTPUT_DIR", free=1 << 40, total=1 << 41)]) == []


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"version_number": 140_011}, "postgresql", "FAIL"),
        ({"is_replica": True}, "postgresql", "FAIL"),
        ({"fsync": "off"}, "durability", "FAIL"),
        ({"synchronous_commit": "off"}, "durability", "FAIL"),
        ({"full_page_writes": "off"}, "durability", "FAIL"),
        ({"connections": 90}, "connections", "WARN"),
        ({"oldest_transaction": 7200.0}, "transactions", "WARN"),
        ({"slots": [("old", False, "reserved", 1000)]}, "replication slots", "WARN"),
        ({"slots": [("old", False, "extended", 5 << 30)]}, "replication slots", "FAIL"),
        ({"slots": [("old", True, "lost", 0)]}, "replication slots", "FAIL"),
        ({"clock_apart": 3.0}, "clock of PostgreSQL", "WARN"),
    ],
)
def test_a_postgresql_that_is_not_as_it_should_be(change: dict[str, Any], check: str, level: str) -> None:
    assert bad(judge_postgres(PostgresFacts(**(POSTGRES | change)))) == [(check, level)]


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"compatible_with": "6.2.0"}, "redis", "FAIL"),
        ({"is_cluster": True}, "redis", "FAIL"),
        ({"role": "slave"}, "redis", "FAIL"),
        ({"eviction_policy": "allkeys-lru"}, "redis eviction", "FAIL"),
        ({"used_bytes": 90}, "redis eviction", "WARN"),
        ({"appends_to_file": False}, "redis persistence", "WARN"),
        ({"write_problem": "no space"}, "redis persistence", "FAIL"),
        ({"clock_apart": -60.0}, "clock of Redis", "WARN"),
        ({"log_id": None}, "queue", "WARN"),
        ({"log_id": "another"}, "queue", "FAIL"),
        ({"parked": {"GONE": 3}}, "queue", "WARN"),
    ],
)
def test_a_redis_that_is_not_as_it_should_be(change: dict[str, Any], check: str, level: str) -> None:
    assert bad(judge_redis(RedisFacts(**(REDIS | change)), log_id="ours")) == [(check, level)]


def stands(
    *,
    jobs: int = 10,
    age: float = 0.0,
    oldest: float = 0.0,
    dispatcher: str | None = "d",
    redis: str = "ok",
    **next: Any,
) -> list[tuple[str, str]]:
    """What is said where the projection `jobs` stands at that position of 10, since so many seconds."""
    readers = {"dispatcher": ReaderStanding(10, 0.0), "jobs": ReaderStanding(jobs, age)}
    standing = Standing(head=10, readers=readers, oldest={"high": oldest}, workers={})
    return bad(judge_standing(standing, dispatcher=dispatcher, redis=redis, blocked_by=next))


def test_who_does_not_do_his_work_is_named() -> None:
    assert stands() == []
    assert stands(jobs=9, age=0.1, jobs_next="Started") == []  # it is about to
    assert stands(dispatcher=None) == [("dispatcher", "FAIL")]
    assert stands(redis="the queue was made from another log") == [("dispatcher", "FAIL")]
    assert stands(oldest=1000.0) == [("queue", "WARN")]


@pytest.mark.parametrize(
    ("age", "next_type", "level"),
    [(10.0, "Started", "WARN"), (100.0, "Started", "FAIL"), (10.0, "Paused", "FAIL"), (0.0, None, "FAIL")],
)
def test_a_projector_that_stands_is_told_from_one_that_is_slow(age: float, next_type: str | None, level: str) -> None:
    readers = {"jobs": ReaderStanding(7, age)}
    standing = Standing(head=10, readers=readers, oldest={}, workers={})
    found = list(judge_standing(standing, dispatcher="d", redis="ok", blocked_by={"jobs": next_type}))
    assert bad(found) == [("lag of jobs", level)]
    if next_type == "Paused":
        assert "a Paused, which this release does not know" in found[-1].says
    if next_type is None:
        assert "gap" in found[-1].says


def test_workers_are_judged_by_two_looks_at_their_heartbeats() -> None:
    both = {"a": "streams", "b": "streams"}
    assert bad(judge_workers([{"a": 1, "b": 1}, {"a": 2, "b": 3}], both)) == []
    assert bad(judge_workers([{"a": 1}, {"a": 2, "b": 0}], both)) == []  # one that has just begun
    assert bad(judge_workers([{"a": 1, "b": 1}, {"a": 1, "b": 2}], both)) == [("workers", "WARN")]
    assert bad(judge_workers([{"a": 1}, {"a": 1}], both)) == [("workers", "WARN"), ("workers", "FAIL")]
    assert bad(judge_workers([{}, {}], {})) == [("workers", "FAIL")]
    assert bad(judge_workers([{"a": 1}, {"a": 2}], {"a": "jobs"})) == [("workers", "WARN")]
    assert bad(judge_workers([{"a": 1}, {"a": 2}], {"a": None})) == [("workers", "WARN")]


def test_jobs_that_are_stuck_are_counted_and_one_is_named() -> None:
    facts = JobFacts(running_long=(1, "r"), overdue=(2, "o"), unclosed=(3, "u"))
    found = list(judge_jobs(facts, timeout=300))
    assert bad(found) == [("jobs", "WARN"), ("jobs", "FAIL"), ("jobs", "FAIL")]
    assert [finding.says.rsplit(" ", 1)[1] for finding in found] == ["r", "o", "u"]


def test_rights_that_lack_and_rights_that_are_too_many_are_named() -> None:
    assert bad(judge_rights(["select on events"], [])) == [("rights", "FAIL")]
    assert bad(judge_rights([], ["is a superuser"])) == [("rights", "WARN")]


@pytest.mark.parametrize(("free", "level"), [(1 << 30, "WARN"), (1 << 20, "FAIL")])
def test_a_disk_that_gets_full_is_told(free: int, level: str) -> None:
    assert bad([judge_disk("DATA_DIR", free=free, total=1 << 40)]) == [("disk of DATA_DIR", level)]
