"""Each check is proven by damage that is done on purpose to a good log: the check that is meant for it reports it."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql

from adapters.embedded.postgres import PostgresServer
from adapters.postgres.verifying import PostgresLogAuditor
from adapters.redis.connecting import connect
from adapters.redis.drained import RedisQueueAuditor
from projections.verify.ports import JobRange
from tests.conftest import migrated_database
from tests.damages import DAMAGES, do_damage, put, say
from tests.good_logs import append_for_real, many_histories, side_by_side
from tests.real_log import Database, connected
from tests.verifying import WAITS, broken, verified

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def good_log(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """A database with a good log that holds everything that can happen, to be copied."""
    with migrated_database(postgres_server, migrated_template) as url:
        await append_for_real(url, side_by_side(many_histories(60, commands=60, seed=5_000)))
        assert broken(await verified(url, is_thorough=True)) == {}
        yield url


@pytest.fixture
def damaged(good_log: str, postgres_server: PostgresServer) -> Iterator[str]:
    """A copy of the good log, whose events can be changed."""
    name = f"damaged_{next(_numbers)}"
    source = urlsplit(good_log).path[1:]
    with connected(postgres_server.url) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(source)))
        yield urlunsplit(urlsplit(good_log)._replace(path=f"/{name}"))
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.mark.parametrize(("check", "damage", "statements"), DAMAGES, ids=[f"{d[0]} {d[1]}" for d in DAMAGES])
async def test_damage_is_reported_by_the_check_meant_for_it(
    check: str, damage: str, statements: str, damaged: str
) -> None:
    do_damage(damaged, statements, check=check)

    report = await verified(damaged, is_thorough=True, range_events=1_000)

    found = broken(report)
    assert check in found, f"{damage}: reported was {found}"
    if check in ("P3", "R1", "R4") and "events" not in statements:
        assert list(found) == [check], "nothing else is wrong"


@pytest.mark.parametrize("wait", ["90", "0.3", "0"])
async def test_a_wait_that_a_job_type_may_have_asked_for_is_reported_only_where_none_asks(
    wait: str, damaged: str
) -> None:
    do_damage(damaged, say("outcome = 'error' and type = 'Attempted' and next_type is null", retryAfter=wait))
    assert "A7" not in broken(await verified(damaged))
    strict = broken(await verified(damaged, waits=replace(WAITS, policy_only=True)))
    assert "A7" in strict
    assert "A4" not in strict


async def test_an_unreadable_job_is_named_once_and_hides_no_other(damaged: str) -> None:
    do_damage(damaged, put("data", """'{"attempt":1,"worker":"a\\u0000b"}'""", "type = 'Started'"))
    do_damage(damaged, say("type = 'Completed' and position > 100", worker='"somebody else"'))

    report = await verified(damaged, range_events=300)

    assert report.findings.counts["S5"] == 1
    assert report.findings.counts["A2"] == 1
    assert "\\u0000 cannot be converted" in report.findings.first("S5")[0].sentence


async def test_violations_are_counted_and_the_first_of_them_kept(damaged: str) -> None:
    do_damage(damaged, "update events set data = (data::jsonb || '{\"attempt\": 77}')::json where type = 'Started'")
    report = await verified(damaged, range_events=300)
    with connected(damaged) as db:
        [[count]] = db.execute("select count(*) from events where type = 'Started'").fetchall()
        [[first]] = db.execute("select min(position) from events where type = 'Started'").fetchall()
    assert report.findings.counts["A1"] == count
    kept = report.findings.first("A1")
    assert len(kept) == 20
    assert kept == sorted(kept)
    assert kept[0].position == first


async def test_checking_from_a_position_tells_what_came_after_it_and_nothing_before(damaged: str) -> None:
    do_damage(damaged, say("type = 'Started' and position > 10", attempt="4711"))
    with connected(damaged) as db:
        [[position]] = db.execute("""select position from events where data ->> 'attempt' = '4711'""").fetchall()
    assert "A1" in broken(await verified(damaged, first=position))
    assert "A1" not in broken(await verified(damaged, first=position + 1))
    assert "A1" in broken(await verified(damaged, last=position))
    assert "A1" not in broken(await verified(damaged, last=position - 1))


async def test_a_role_that_may_erase_contents_is_no_breach(damaged: str) -> None:
    do_damage(damaged, "grant update (content) on events to pg_monitor")
    assert broken(await verified(damaged)) == {}


async def test_the_digest_is_the_same_whenever_it_is_taken_and_another_for_another_log(damaged: str) -> None:
    early = await verified(damaged, last=500)
    do_damage(damaged, "update events set content = null")  # erasing is no change of what happened
    assert (await verified(damaged, last=500, workers=4)).digest == early.digest
    assert (await verified(damaged, last=499)).digest != early.digest
    assert (await verified(damaged, first=2, last=500)).digest != early.digest
    for column, value in {
        "actor": "actor || ' '",
        "recorded_at": "recorded_at",
        "data": "(data::text || ' ')::json",
    }.items():
        changed = f"{value} + interval '1 microsecond'" if column == "recorded_at" else value
        do_damage(damaged, f"update events set {column} = {changed} where position = 500")
        now = await verified(damaged, last=500)
        assert now.digest != early.digest, column
        early = now


async def test_the_digest_is_what_the_documentation_says(good_log: str) -> None:
    with connected(good_log) as db:
        rows = db.execute(
            "select position, job_id, version, recorded_at, type, actor, data::text from events"
            " where position between 3 and 700 order by position"
        ).fetchall()
    page = b""
    for position, job_id, version, recorded_at, *texts in rows:
        microseconds = (recorded_at - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        page += struct.pack("!q16siq", position, job_id.bytes, version, microseconds)
        for text in map(str.encode, texts):
            page += struct.pack("!i", len(text)) + text
    expected = hashlib.sha256(bytes(32) + hashlib.sha256(page).digest()).hexdigest()
    assert (await verified(good_log, first=3, last=700)).digest == expected


async def test_what_is_not_over_is_reported_when_all_should_be(damaged: str, redis_url: str) -> None:
    queue_client = connect(redis_url, name="drained test")
    try:
        await queue_client.xadd("default", {"d": "x"})
        await queue_client.sadd("jobledger:parked", "parked:X")
        await queue_client.xadd("parked:X", {"d": "x"})
        queue = RedisQueueAuditor(queue_client)
        do_damage(damaged, "update checkpoints set position = position - 1")
        do_damage(damaged, "update dispatcher_lease set relayed_position = relayed_position - 1")

        report = await verified(damaged, is_drained=True, queue=queue)

        found = broken(report)
        assert len(found["L1"]) > 5
        assert [said.split(" holds")[0] for said in found["L2"]] == ["the stream default", "the stream parked:X"]
        assert [said.split(" stands")[0] for said in found["L3"]] == ["the dispatcher", "the projector"]
        assert report.unchecked == []
        assert not {"L1", "L2", "L3"} & set(broken(await verified(damaged)))
        assert (await verified(damaged, is_drained=True)).unchecked == ["L2"]
    finally:
        await queue_client.aclose()


_PLAIN_DAMAGES = [
    *(
        f"update events set {change} where job_id = %(job)s and version = {version}"
        for change, versions in {
            "position = position + 1000": (1, 2),
            "position = position - 1000": (2, 3),
            "position = position + 1000000": (3,),  # beyond what is looked at
            "version = 4": (1, 2, 3),
            "type = 'Queued'": (1, 2, 3),
            "data = (data::jsonb || '{\"attempt\": 2}')::json": (1, 2, 3),
            "data = (left(data::text, -1) || ',\"attempt\":2}')::json": (1, 2, 3),
            "data = (data::jsonb || '{\"worker\": \"w\"}')::json": (2, 3),
            "data = (left(data::text, -1) || ',\"delay\":1e9}')::json": (1,),
            "data = replace(data::text, '\"used\":0', '\"used\":1')::json": (1,),
            "data = replace(data::text, '\"maxAttempts\":', '\"maxAttempts\":1')::json": (1,),
            "data = replace(data::text, '\"type\":\"', '\"type\":\"x')::json": (1,),
            "data = replace(data::text, '\"priority\":\"', '\"priority\":\"x')::json": (1,),
            "recorded_at = recorded_at - interval '1 microsecond'": (1, 3),
            "content = '1234'": (3,),
        }.items()
        for version in versions
    ),
    *(f"delete from events where job_id = %(job)s and version = {version}" for version in (1, 2, 3)),
    ("insert into events select position + 500000, job_id, 4, 'Queued', data, content, actor, recorded_at"
    " from events where job_id = %(job)s and version = 1"),
    *(
        f"update jobs set {column} = {value} where id = %(job)s"
        for column, value in {
            "version": "2", "state": "'Started'", "type": "type || 'x'", "priority": "'low'", "attempts": "2", "used": "1",
            "max_attempts": "max_attempts + 1", "created_at": "created_at - interval '1 microsecond'",
            "updated_at": "updated_at + interval '1 microsecond'", "worker": "'w'", "outcome": "'error'",
            "result": "'1234'", "error": "'\"x\"'", "due_at": "now()", "queued_position": "1",
            "tags": "'{x}'",
        }.items()
    ),
    "delete from jobs where id = %(job)s",
    ("update checkpoints set position = (select position from events where job_id = %(job)s and version = 3) - 1"
    " where name = 'jobs'"),
    "delete from checkpoints where name = 'jobs'",
]  # fmt: skip


async def test_a_job_of_the_plainest_kind_is_a_suspect_after_any_change(damaged: str) -> None:
    everything = JobRange(after=None, last="ffffffff-ffff-ffff-ffff-ffffffffffff")
    with connected(damaged) as db:
        db.execute("alter table events disable trigger user")
        db.execute("alter table events drop constraint events_position_key")
        [[last]] = db.execute("select max(position) from events").fetchall()
        async with PostgresLogAuditor(damaged) as auditor:
            suspects = await auditor.suspects(everything, upto=last)
            all_jobs = {job_id for (job_id,) in db.execute("select id::text from jobs").fetchall()}
            plain = sorted(all_jobs - set(suspects))
            assert plain
            for damage in _PLAIN_DAMAGES:
                # In a transaction of the harm's own, the auditor would see nothing of it: so it is undone by hand.
                db.execute("create temp table kept as select * from events where job_id = %s", [plain[0]])
                db.execute("create temp table kept_job as select * from jobs where id = %s", [plain[0]])
                db.execute("create temp table kept_checkpoint as select * from checkpoints")
                assert db.execute(damage, {"job": plain[0]}).rowcount == 1, damage
                assert plain[0] in await auditor.suspects(everything, upto=last), damage
                _restore(db, plain[0])
            assert sorted(await auditor.suspects(everything, upto=last)) == sorted(suspects)


def _restore(db: Database, job_id: str) -> None:
    db.execute("delete from events where job_id = %s", [job_id])
    db.execute("insert into events select * from kept")
    db.execute("delete from jobs where id = %s", [job_id])
    names = ", ".join(
        name
        for (name,) in db.execute(
            "select attname from pg_attribute where attrelid = 'jobs'::regclass and attnum > 0 and attgenerated = ''"
        ).fetchall()
    )
    db.execute(f"insert into jobs ({names}) select {names} from kept_job")
    db.execute("delete from checkpoints")
    db.execute("insert into checkpoints select * from kept_checkpoint")
    db.execute("drop table kept; drop table kept_job; drop table kept_checkpoint")


async def test_it_can_change_nothing(good_log: str) -> None:
    """The connections themselves are read-only."""
    async with PostgresLogAuditor(good_log) as auditor:
        assert auditor._connection is not None
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await auditor._connection.execute("delete from jobs")
