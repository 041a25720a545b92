"""The judge's one call, over a real database, a real queue and a real directory: it sees all that it is meant to look at."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
import redis
from msgspec import Struct
from psycopg import sql

from adapters.embedded.postgres import PostgresServer
from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Append
from domain.events import CancelRequested, Completed, Created, NewEvent, Queued, RecordedEvent, Started
from tests.conftest import migrated_database
from tests.faults.client_log import Asked
from tests.faults.faults_log import Fault, FaultsLog
from tests.faults.good_runs import GoodRun, good_run
from tests.faults.judge import judge
from tests.faults.run_directory import RunDirectory
from tests.faults.stories import Story
from tests.faults.verdict import Verdict
from tests.good_logs import append_for_real, project_all
from tests.real_log import connected

_numbers = itertools.count(1)
_NOW = "0190f5fe-fff0-7000-8000-000000000000"  # the id of a job that is appended here


class Left(Struct):
    """A run as it was left: to be damaged, then judged."""

    good: GoodRun
    stories: Sequence[Story]
    run: RunDirectory
    database_url: str
    redis_url: str

    async def verdict(self) -> Verdict:
        return await judge(self.run, database_url=self.database_url, redis_url=self.redis_url, is_thorough=True)

    def ask(self, statement: str, *parameters: object) -> None:
        """Damage the log, as one who may do anything."""
        with connected(self.database_url) as db:
            db.execute("alter table events disable trigger user")
            assert db.execute(statement.encode(), parameters).rowcount > 0
            db.execute("alter table events enable always trigger immutable_rows")
            db.execute("alter table events enable always trigger immutable_table")

    def completed(self, kind: str) -> Story:
        """The first job of that type that was completed at once."""
        return next(one for one in self.stories if one.type == kind and one.is_completed and len(one.attempts) == 1)

    async def append(self, *events: NewEvent) -> None:
        """A further job, which somebody asked for."""
        created = events[0]
        assert created.content is not None
        asked = Asked("further", 0, "SPECIAL", "high", _sha256(created.content))
        with self.run.requests("further").open("wb") as file:
            file.write(msgspec.json.encode(asked) + b"\n")
        with connected(self.database_url) as db:
            db.execute("insert into workers (id) values ('w') on conflict do nothing")
        async with PostgresEventLog(self.database_url, application="further", patience=20.0) as log:
            for number, event in enumerate(events):
                await log.append([Append(_NOW, number, [event], "w")])


@pytest.fixture(scope="module")
async def good_log(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[tuple[GoodRun, str]]:
    """A good run whose log is in a database, to be copied."""
    good = good_run(42, jobs=250)
    with migrated_database(postgres_server, migrated_template) as url:
        await append_for_real(url, good.history)
        yield good, url


@pytest.fixture
def left(
    good_log: tuple[GoodRun, str], postgres_server: PostgresServer, redis_url: str, tmp_path: Path
) -> Iterator[Left]:
    """What the good run left, whole: a copy."""
    good, url = good_log
    name = f"judged_{next(_numbers)}"
    with connected(postgres_server.url) as admin:
        source = sql.Identifier(urlsplit(url).path[1:])
        admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), source))
        run = RunDirectory(tmp_path / "run")
        good.write(run)
        copy = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        yield Left(good, list(good.stories()), run, copy, redis_url)
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


async def test_a_good_run_passes_and_its_line_says_what_happened(left: Left) -> None:
    healed = left.good.history.recorded[100].recorded_at.timestamp() + 0.0005
    FaultsLog(left.run.faults).add(Fault("worker killed", healed - 1, healed))
    requests = left.run.requests()
    requests.write_bytes(requests.read_bytes() + b'{"what":"asked","key":"torn')  # its writer was killed

    verdict = await left.verdict()

    assert verdict.passed, verdict.text()
    assert verdict.counts == {}
    figures = verdict.figures
    asked = {line.key for line in left.good.lines if isinstance(line, Asked)}
    assert (figures.seed, figures.attempts) == (42, len(asked))
    assert len(left.stories) == len(left.good.keys) == figures.acked + figures.recovered
    assert figures.executions == sum(1 for fact in left.good.facts if fact.what == "begin")
    assert (figures.lost, figures.unexpected, figures.stuck, figures.resurrected) == (0, 0, 0, 0)
    assert figures.overlapping > 0
    assert figures.duplicate_effects > 0
    assert figures.longest_stall == pytest.approx(max(_gaps(left.good)), abs=0.002)
    assert figures.recovery is not None
    after = [e.recorded_at.timestamp() for e in left.good.history.recorded if isinstance(e.event, Completed)]
    assert figures.recovery[2] == pytest.approx(min(at for at in after if at >= healed) - healed, abs=0.001)
    assert verdict.text().startswith("seed 42: attempts ")
    assert "passed" in verdict.text()


async def test_a_payload_that_was_erased_is_missed(left: Left) -> None:
    left.ask("update events set content = null where job_id = %s and version = 1", left.completed("TALLIED").job_id)
    await _is_reported("C4", left)


async def test_a_payload_that_was_changed_is_seen(left: Left) -> None:
    left.ask(
        """update events set content = '{"key": 1}' where job_id = %s and version = 1""",
        left.completed("TALLIED").job_id,
    )
    await _is_reported("C4", left)


async def test_a_job_of_a_key_that_nobody_used_is_seen(left: Left) -> None:
    await left.append(*_whole_life())
    left.run.requests("further").unlink()
    with connected(left.database_url) as db:
        db.execute("update dispatcher_lease set relayed_position = (select max(position) from events)")
    await project_all(left.database_url)
    await _is_reported("C2", left)


async def test_a_file_that_is_torn_on_the_disk_is_seen(left: Left) -> None:
    path = left.run.output / f"{left.completed('CSV_EXPORT').job_id}.csv"
    path.write_bytes(path.read_bytes()[:-1])
    await _is_reported("E1", left)


async def test_a_temporary_file_that_a_sweep_cannot_remove_is_seen(left: Left) -> None:
    name = next(iter(left.good.temporaries))
    writer = os.open(left.run.output / name, os.O_WRONLY)
    try:
        fcntl.flock(writer, fcntl.LOCK_EX)  # as a writer that still lives
        verdict = await _is_reported("E1", left)
        assert "outlived the sweep" in verdict.reasons[0]
    finally:
        os.close(writer)


async def test_a_mail_that_never_came_is_missed(left: Left) -> None:
    job_id = left.completed("EMAIL_SEND").job_id
    mails = left.run.mails.read_bytes().splitlines(keepends=True)
    left.run.mails.write_bytes(b"".join(line for line in mails if job_id.encode() not in line))
    await _is_reported("E2", left)


async def test_a_worker_that_was_given_up_and_starts_something_is_seen(left: Left) -> None:
    given_up = next(
        attempt
        for story in left.stories
        for attempt in story.attempts
        if attempt.was_given_up and attempt.actor == "dispatcher"
    )
    story = next(one for one in left.stories if one.is_completed and one.attempts[-1].started > given_up.closed)
    other = story.attempts[-1].worker
    left.ask(
        "update events set actor = %s, data = replace(data::text, %s, %s)::json where actor = %s and job_id = %s",
        given_up.worker,
        f'"{other}"',
        f'"{given_up.worker}"',
        other,
        story.job_id,
    )
    await _is_reported("E3", left)


async def test_a_job_that_is_not_over_is_stuck(left: Left) -> None:
    await left.append(_CREATED)
    with connected(left.database_url) as db:
        db.execute("update dispatcher_lease set relayed_position = (select max(position) from events)")
    await project_all(left.database_url)
    verdict = await _is_reported("L1", left)
    assert verdict.figures.stuck == 1


async def test_an_entry_that_is_left_in_a_stream_is_seen(left: Left) -> None:
    with redis.Redis.from_url(left.redis_url) as queue:
        queue.xadd("default", {"d": "x"})
    await _is_reported("L2", left)


async def test_an_entry_that_is_pending_is_seen(left: Left) -> None:
    with redis.Redis.from_url(left.redis_url) as queue:
        queue.xadd("high_priority", {"d": "x"})
        queue.xgroup_create("high_priority", "workers", id="0")
        queue.xreadgroup("workers", "somebody", {"high_priority": ">"})
        queue.xtrim("high_priority", maxlen=0)
    await _is_reported("L2", left)


async def test_a_projector_that_is_behind_is_seen(left: Left) -> None:
    await left.append(*_whole_life())
    with connected(left.database_url) as db:
        db.execute("update dispatcher_lease set relayed_position = (select max(position) from events)")
    await _is_reported("L3", left)


async def test_a_dispatcher_that_is_behind_is_seen(left: Left) -> None:
    left.ask("update dispatcher_lease set relayed_position = relayed_position - 1")
    await _is_reported("L3", left)


async def test_damage_to_the_log_itself_is_reported_as_verify_does(left: Left) -> None:
    story = left.completed("TALLIED")
    left.ask(
        "update events set data = replace(data::text, '1', '7')::json where job_id = %s and version = 2", story.job_id
    )
    verdict = await left.verdict()
    assert {"A1", "A2"} <= set(verdict.counts)
    assert not verdict.passed


async def test_what_a_run_breaks_by_intent_can_be_ignored(left: Left) -> None:
    left.ask("update dispatcher_lease set relayed_position = relayed_position - 1")
    verdict = await judge(left.run, database_url=left.database_url, redis_url=left.redis_url, ignored=["L3"])
    assert verdict.passed
    assert verdict.counts == {"L3": 1}


async def test_a_worker_that_went_and_left_its_attempts_is_rightly_given_up_at_once(left: Left) -> None:
    lost = next(
        attempt
        for story in left.stories
        for attempt in story.attempts
        if attempt.was_given_up and attempt.actor == "dispatcher"
    )
    strict = await judge(left.run, database_url=left.database_url, redis_url=left.redis_url, liveness=100)
    assert "A8" in strict.counts
    workers = {one.worker for story in left.stories for one in story.attempts if one.was_given_up}
    assert lost.worker in workers
    told = await judge(left.run, database_url=left.database_url, redis_url=left.redis_url, liveness=100, went=workers)
    assert told.counts["A8"] < strict.counts["A8"]


async def _is_reported(check: str, left: Left) -> Verdict:
    verdict = await left.verdict()
    assert list(verdict.counts) == [check], verdict.text()
    assert not verdict.passed
    return verdict


_CREATED = NewEvent(Created("SPECIAL", "high", 1, 0, 3), b'{"key": "further"}')


def _whole_life() -> list[NewEvent]:
    return [_CREATED, NewEvent(Started(1, "w")), NewEvent(Completed(1, "w"), b"1")]


def _gaps(good: GoodRun) -> Iterator[float]:
    """The times between two neighbouring events in which some job was queued or running."""
    open_jobs: set[str] = set()
    before: RecordedEvent | None = None
    for event in good.history.recorded:
        if before is not None and open_jobs:
            yield (event.recorded_at - before.recorded_at).total_seconds()
        is_open = isinstance(event.event, Created | Queued | Started | CancelRequested)
        (open_jobs.add if is_open else open_jobs.discard)(event.job_id)
        before = event


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
