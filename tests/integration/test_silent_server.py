"""A server that says nothing, or a network that swallows what it says: every wait ends, and what was asked is asked again."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

import pytest
import uuid_utils

from adapters.postgres.connecting import BoundedConnection, BoundedThreadConnection, connect, make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.health_reader import PostgresHealthReader
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.postgres.queued_jobs import PostgresQueuedJobs
from adapters.postgres.wake_ups import APPENDED, AppendListener
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from adapters.redis.connecting import connect as connect_redis
from commands.outages import Outages
from commands.ports import Append, Appended, Unavailable
from domain import job as verbs
from domain.events import Created, NewEvent, Started
from domain.job import TRANSITIONS
from tests.fakes.report import FakeReport
from tests.proxy import Proxy, proxy_to
from tests.real_log import Database, connected, read_log, register_workers
from tests.until import until

SHORT = 0.5  # seconds until a silent server counts as lost; in the service it is ten


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "reply_seconds", SHORT)
    monkeypatch.setattr(BoundedThreadConnection, "reply_seconds", SHORT)


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
def url(postgres_url: str, proxy: Proxy) -> str:
    """By way of the proxy. Connecting may take two seconds, which is the least that libpq allows."""
    return f"{proxy.url(postgres_url)}?connect_timeout=2"


def creation() -> Append:
    events = verbs.create(type="T", priority="default", payload=b"{}", max_attempts=3)
    return Append(str(uuid_utils.uuid7()), 0, events, "client")


def start(job_id: str) -> Append:
    return Append(job_id, 1, [NewEvent(Started(attempt=1, worker="w1"))], "w1")


@pytest.mark.parametrize("patience", [None, 0.0])
async def test_an_append_whose_answer_is_swallowed_is_sent_again_and_is_done_once(
    db: Database, proxy: Proxy, url: str, patience: float | None
) -> None:
    report = FakeReport()
    outages = Outages(report=report)
    async with PostgresEventLog(
        url, application="silent", patience=patience, outages=outages, reply_seconds=SHORT
    ) as log:
        command = creation()
        await log.append([command])
        proxy.swallow_reply(to=b"w1")
        [answer] = await log.append([start(command.job_id)])

    assert proxy.met == 1
    assert isinstance(answer, Appended)
    assert (answer.position, len(answer.history)) == (2, 1)
    assert [type(e.event) for e in read_log(db)] == [Created, Started]
    assert report.events == ["dependency away", "dependency back"]
    assert report.lines[0][1]["error"] == "the server has not answered for 0.5 seconds"


async def test_an_append_through_a_black_hole_is_given_up_in_time_and_done_once_when_it_opens(
    db: Database, proxy: Proxy, url: str
) -> None:
    async with PostgresEventLog(url, application="silent", patience=0.0, reply_seconds=SHORT) as log:
        command = creation()
        await log.append([command])
        proxy.black_hole()
        begin = time.monotonic()
        with pytest.raises(Unavailable):
            await log.append([start(command.job_id)])
        assert time.monotonic() - begin < 10.0
        proxy.heal()  # what it held back arrives now, and is done for a caller that has gone
        await until(lambda: len(read_log(db)) == 2, saw=lambda: read_log(db))
        [again] = await log.append([start(command.job_id)])
    assert not isinstance(again, Appended)  # another call, which is not in doubt: somebody has started it
    assert [type(e.event) for e in read_log(db)] == [Created, Started]


async def test_a_log_looks_whether_it_can_be_written_and_writes_nothing(db: Database, proxy: Proxy, url: str) -> None:
    async with PostgresEventLog(url, application="silent", patience=0.0, reply_seconds=SHORT) as log:
        assert await log.append([]) == []
        proxy.refuse()
        proxy.reset()
        with pytest.raises(Unavailable):
            await log.append([])
        proxy.heal()
        assert await log.append([]) == []
    assert read_log(db) == []


async def goes_on(ask: Callable[[], Awaitable[object]], proxy: Proxy) -> None:
    """Asked once more after an answer was swallowed, it answers; and it has not waited for long."""
    await ask()
    proxy.swallow_reply()
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=r"has not answered for 0\.5 seconds"):
        await ask()
    assert time.monotonic() - begin < 10.0
    assert proxy.met == 1
    await ask()


async def test_a_projector_goes_on_after_an_answer_was_swallowed(proxy: Proxy, url: str) -> None:
    async with aclosing(PostgresJobsProjection(url)) as projection:
        await projection.fold_page()
        await _with_short_reply(projection._connection)
        await goes_on(projection.fold_page, proxy)


async def test_a_relays_feed_goes_on_after_an_answer_was_swallowed(proxy: Proxy, url: str) -> None:
    async with aclosing(PostgresQueueFeed(url)) as feed:
        await feed.log_page(begin=0, limit=1)
        await _with_short_reply(feed._connection)
        await goes_on(lambda: feed.log_page(begin=0, limit=1), proxy)


async def _with_short_reply(connection: object) -> None:
    assert isinstance(connection, BoundedConnection)
    assert connection.reply_seconds == 10.0
    connection.reply_seconds = SHORT


async def test_whoever_uses_a_pool_goes_on_after_an_answer_was_swallowed(proxy: Proxy, url: str) -> None:
    async with make_pool(url, size=1, application="silent") as pool:
        jobs = PostgresQueuedJobs(pool, worker="w1", job_types=["T"])
        reader, health = PostgresJobReader(pool), PostgresHealthReader(pool, transitions=TRANSITIONS)
        asks: list[Callable[[], Awaitable[object]]] = [
            lambda: jobs.head(limit=10, wanted=1),
            lambda: reader.find(str(uuid_utils.uuid7())),
            health.workers,
        ]
        for ask in asks:
            proxy.met = 0
            await goes_on(ask, proxy)


async def test_a_heartbeat_goes_on_after_an_answer_was_swallowed(proxy: Proxy, url: str) -> None:
    registry = PostgresWorkerRegistry(url)
    try:
        await asyncio.to_thread(registry.register, "w2")
        await goes_on(lambda: asyncio.to_thread(registry.beat, "w2", [], claims_from="streams"), proxy)
    finally:
        registry.close()


async def test_a_listener_in_a_black_hole_says_so_and_hears_again_when_it_opens(
    db: Database, proxy: Proxy, url: str
) -> None:
    report = FakeReport()
    outages = Outages(report=report)
    async with AppendListener(
        url, channel=APPENDED, application="silent", outages=outages, reply_seconds=SHORT
    ) as listener:
        await listener.wait(20.0)
        proxy.black_hole()
        await until(lambda: report.events == ["dependency away"])
        proxy.heal()
        await until(lambda: report.events == ["dependency away", "dependency back"])
        await listener.wait(20.0)
        db.execute("notify jobledger_appended")
        begin = time.monotonic()
        await listener.wait(20.0)
        assert time.monotonic() - begin < 15.0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options of TCP")
async def test_a_connection_has_time_outs_of_tcp_on_both_sides(postgres_url: str, redis_url: str) -> None:
    connection = await connect(postgres_url)
    async with connection:
        ours = socket.socket(fileno=connection.pgconn.socket)
        try:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        finally:
            ours.detach()
        cursor = await connection.execute("select setting from pg_settings where name like 'tcp_keep%' order by name")
        assert [setting for (setting,) in await cursor.fetchall()] == ["3", "5", "3"]

    redis = connect_redis(redis_url, name="tests")
    async with redis:
        await redis.ping()
        [redis_connection] = redis.connection_pool._available_connections
        assert redis_connection._writer is not None
        theirs = redis_connection._writer.get_extra_info("socket")
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
