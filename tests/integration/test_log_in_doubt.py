"""Appends whose answer never came: sent again, they are in the log once, and whoever asked is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Answer, Append, Appended, Conflict, IdempotencyKey, RejectedData, Repeated, Unavailable
from domain import job as verbs
from domain.events import Created, NewEvent, Started
from tests.proxy import Proxy, proxy_to
from tests.real_log import Database, connected, head, read_log, register_workers
from tests.until import until

THE_LOCK = 7310592051  # sql/migrations/0004_append_plain_batches.sql


def new_id() -> str:
    return str(uuid_utils.uuid7())


def creation(*, job_id: str | None = None, payload: bytes = b"{}", actor: str = "client", key: str = "") -> Append:
    events = verbs.create(type="T", priority="default", payload=payload, max_attempts=3)
    return Append(job_id or new_id(), 0, events, actor, IdempotencyKey(key, b"digest") if key else None)


def start(job_id: str) -> Append:
    return Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        register_workers(db, ["w1"])
        yield db


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def log(postgres_url: str, proxy: Proxy) -> AsyncIterator[PostgresEventLog]:
    """A log behind the proxy, connected already."""
    async with PostgresEventLog(proxy.url(postgres_url), application="in doubt", patience=40.0) as log:
        yield log


@contextmanager
def lock_held(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Somebody else holds the log's lock; it ends with the block, or earlier by a rollback."""
    with psycopg.connect(postgres_url) as holder:
        holder.execute("select pg_advisory_xact_lock(%s)", [THE_LOCK])
        yield holder
        holder.rollback()


def waiting(db: Database) -> list[int]:
    """The backends that wait for the log's lock."""
    rows = db.execute(
        "select l.pid from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and not l.granted and d.datname = current_database()"
    ).fetchall()
    return [pid for (pid,) in rows]


async def created(log: PostgresEventLog) -> str:
    command = creation()
    [answer] = await log.append([command])
    assert isinstance(answer, Appended)
    return command.job_id


@pytest.mark.parametrize("who_notices", ["the client alone", "both sides", "the server alone"])
async def test_an_append_cut_off_while_it_waits_for_the_lock_becomes_one_started_that_runs(
    postgres_url: str, db: Database, proxy: Proxy, log: PostgresEventLog, who_notices: str
) -> None:
    job_id = await created(log)
    with lock_held(postgres_url) as holder:
        appending = asyncio.create_task(log.append([start(job_id)]))
        await until(lambda: len(waiting(db)) == 1)
        first = waiting(db)
        match who_notices:
            case "the client alone":
                # The first call goes on waiting, and will commit: to read back now would find nothing.
                proxy.reset(server_too=False)
                await until(lambda: len(waiting(db)) == 2, saw=lambda: waiting(db))
            case "both sides":
                proxy.reset()
                await until(lambda: bool(set(waiting(db)) - set(first)), saw=lambda: waiting(db))
            case _:
                db.execute("select pg_terminate_backend(%s)", first)
                await until(lambda: bool(set(waiting(db)) - set(first)), saw=lambda: waiting(db))
        holder.rollback()
        [answer] = await appending

    assert isinstance(answer, Appended)
    assert answer.position == 2
    assert [e.event for e in answer.history] == [e.event for e in read_log(db)[:1]]  # all that running takes
    assert [type(e.event) for e in read_log(db)] == [Created, Started]


async def test_a_server_notices_within_seconds_that_a_waiting_caller_is_gone(
    postgres_url: str, db: Database, proxy: Proxy
) -> None:
    async with PostgresEventLog(proxy.url(postgres_url), application="gone", patience=0.0) as log:
        await created(log)
        with lock_held(postgres_url):
            appending = asyncio.create_task(log.append([creation()]))
            await until(lambda: len(waiting(db)) == 1)
            proxy.refuse()
            proxy.reset()
            with pytest.raises(Unavailable):
                await appending
            await until(lambda: not waiting(db), within=4.0)  # before its lock_timeout of 5 seconds
    assert head(db) == 1


async def test_a_reply_lost_after_the_commit_is_an_append_done_once(
    db: Database, proxy: Proxy, log: PostgresEventLog
) -> None:
    job_id = await created(log)
    proxy.cut_before_reply()
    [answer] = await log.append([start(job_id)])

    assert proxy.met == 1
    assert isinstance(answer, Appended)
    assert (answer.position, len(answer.history)) == (2, 1)
    assert [type(e.event) for e in read_log(db)] == [Created, Started]


async def test_an_earlier_claim_of_its_own_is_not_taken_for_the_one_in_doubt(
    db: Database, proxy: Proxy, log: PostgresEventLog
) -> None:
    """An entry may come to a worker twice: from the streams and from `jobs`, or from a queue that was made again."""
    job_id = await created(log)
    [first] = await log.append([start(job_id)])
    proxy.cut_before_reply()
    [second] = await log.append([start(job_id)])

    assert proxy.met == 1
    assert isinstance(first, Appended)
    assert second == Conflict(found_type="Started", last_version=2, last_type="Started")


@pytest.mark.parametrize("is_committed", [True, False])
async def test_of_equal_claims_in_a_batch_in_doubt_one_is_its_own(
    db: Database, proxy: Proxy, log: PostgresEventLog, is_committed: bool
) -> None:
    job_id = await created(log)
    if is_committed:
        proxy.cut_before_reply()
    else:
        db.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'in doubt'")
    answers = await log.append([start(job_id), start(job_id)])

    assert [type(answer) for answer in answers] == [Appended, Conflict]
    assert head(db) == 2


async def test_a_connection_cut_after_the_first_piece_of_the_reply_loses_nothing(
    db: Database, proxy: Proxy, log: PostgresEventLog
) -> None:
    await created(log)
    proxy.cut_after_reply()
    commands = [creation(payload=b'"%b"' % (b"x" * 5000)) for _ in range(50)]
    answers = await log.append(commands)
    [later] = await log.append([creation()])

    assert proxy.met == 1
    assert [a.position for a in answers if isinstance(a, Appended)] == list(range(2, 52))
    assert isinstance(later, Appended)
    assert later.position == 52
    assert head(db) == 52


async def test_a_job_created_with_a_key_whose_reply_was_lost_is_not_taken_for_somebody_elses(
    db: Database, proxy: Proxy, log: PostgresEventLog
) -> None:
    await created(log)
    command = creation(key="k")
    proxy.cut_before_reply()
    [answer] = await log.append([command])
    [again] = await log.append([creation(key="k")])

    assert isinstance(answer, Appended)
    assert again == Repeated(command.job_id, b"digest")
    assert head(db) == 2


async def test_an_event_of_somebody_else_is_a_conflict_even_in_doubt(
    db: Database, proxy: Proxy, log: PostgresEventLog, postgres_url: str
) -> None:
    register_workers(db, ["w2"])
    job_id = await created(log)
    async with PostgresEventLog(postgres_url, application="another") as another:
        with lock_held(postgres_url) as holder:
            others = asyncio.create_task(
                another.append([Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w2"))], "w2")])
            )
            await until(lambda: len(waiting(db)) == 1)
            mine = asyncio.create_task(log.append([start(job_id)]))
            await until(lambda: len(waiting(db)) == 2)
            proxy.reset(server_too=False)
            await until(lambda: len(waiting(db)) == 3)
            holder.rollback()
            [[won], [lost]] = await asyncio.gather(others, mine)
    assert isinstance(won, Appended)
    assert lost == Conflict(found_type="Started", last_version=2, last_type="Started")


async def test_what_a_halved_batch_has_written_is_not_lost_when_its_rest_must_be_sent_again(
    db: Database, log: PostgresEventLog
) -> None:
    """A batch is halved for its data; one half is in the log, the other finds the log busy, on a living connection."""
    with _busy_at(db, actor="busy", times=[2]):
        answers = await log.append([creation(actor="first"), creation(actor="busy"), creation(payload=b"no JSON")])

    assert [type(answer) for answer in answers] == [Appended, Appended, RejectedData]
    assert [e.actor for e in read_log(db)] == ["first", "busy"]


async def test_a_log_that_is_busy_is_waited_for(db: Database, log: PostgresEventLog) -> None:
    with _busy_at(db, actor="busy", times=[1, 2]):
        [answer] = await log.append([creation(actor="busy")])
    assert isinstance(answer, Appended)
    assert answer.position == 1


@contextmanager
def _busy_at(db: Database, *, actor: str, times: list[int]) -> Iterator[None]:
    """Let the given tries to write an event of `actor` end as a lock_timeout does. A sequence counts: it is never rolled back."""
    db.execute("create sequence tries")
    db.execute(
        "create function be_busy() returns trigger language plpgsql as $$ begin"
        f" if new.actor = '{actor}' and nextval('tries') in ({', '.join(map(str, times))}) then"
        "   raise exception 'busy' using errcode = 'lock_not_available'; end if;"
        " return new; end $$"
    )
    db.execute("create trigger be_busy before insert on events for each row execute function be_busy()")
    yield
    db.execute("drop trigger be_busy on events")


async def test_callers_of_one_process_are_all_answered_through_outages(
    db: Database, proxy: Proxy, log: PostgresEventLog
) -> None:
    """Many callers, while the connection is reset again and again, before and after the commit."""
    answers: list[Answer] = []

    async def use(number: int) -> None:
        for turn in range(10):
            command = creation(actor=f"caller {number}", key=f"turn {turn}" if turn % 2 else "")
            answers.extend(await log.append([command]))
            answers.extend(await log.append([start(command.job_id)]))

    async def break_things() -> None:
        faults: list[Callable[[], None]] = [
            proxy.reset,
            proxy.cut_before_reply,
            lambda: proxy.reset(server_too=False),
            proxy.cut_after_reply,
        ]
        for fault in faults * 3:
            fault()
            so_far = len(answers)
            await until(lambda: len(answers) > so_far or len(answers) == 400)  # noqa: B023 - awaited here

    await asyncio.gather(break_things(), *map(use, range(20)))

    assert {type(answer) for answer in answers} == {Appended}
    positions = sorted(answer.position for answer in answers if isinstance(answer, Appended))
    assert positions == list(range(1, 401))
    assert head(db) == 400
