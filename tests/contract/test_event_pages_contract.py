"""What EventPages promises, over the fake and over PostgreSQL; and how those who follow the log share it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import pytest
import uuid_utils
from msgspec import Struct

from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.event_pages import PostgresEventPages
from commands.follow_log import EventPages, LogFollower
from commands.outages import Outages
from commands.ports import Append, Appended, EventLog, Unavailable
from domain.errors import LogDamaged
from domain.events import Cancelled, Created, NewEvent
from tests.fakes.event_log import FakeEventLog
from tests.fakes.event_pages import FakeEventPages
from tests.fakes.job_ends import listen
from tests.fakes.report import FakeReport
from tests.real_log import connected
from tests.until import until


class Bench(Struct):
    """A log, and its pages."""

    log: EventLog
    pages: EventPages


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


@pytest.fixture
async def bench(database: str | None) -> AsyncIterator[Bench]:
    if database is None:
        fake = FakeEventLog()
        yield Bench(fake, FakeEventPages(fake))
        return
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(database, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(database, size=2, application="contract"))
        yield Bench(log, PostgresEventPages(pool))


async def create(log: EventLog, type: str = "T", payload: bytes = b"null") -> str:
    job_id = str(uuid_utils.uuid7())
    created = Created(type=type, priority="high", attempt=1, used=0, max_attempts=3)
    [answer] = await log.append([Append(job_id, 0, [NewEvent(created, payload)], "client")])
    assert isinstance(answer, Appended)
    return job_id


async def cancel(log: EventLog, job_id: str) -> None:
    [answer] = await log.append([Append(job_id, 1, [NewEvent(Cancelled(reason="r"))], "operator")])
    assert isinstance(answer, Appended)


def follower_of(pages: EventPages) -> LogFollower:
    return LogFollower(pages=pages, listen=listen, outages=Outages(report=FakeReport()))


async def test_an_empty_log_has_an_empty_page(bench: Bench) -> None:
    page = await bench.pages.page(0, limit=5)

    assert (page.events, page.position, page.head) == ((), 0, 0)


async def test_pages_follow_each_other_and_hold_what_the_log_does(bench: Bench) -> None:
    first, second = await create(bench.log, "A", b'{"a":  1}'), await create(bench.log, "B")
    await cancel(bench.log, first)

    page = await bench.pages.page(0, limit=2)
    rest = await bench.pages.page(page.position, limit=2)
    end = await bench.pages.page(rest.position, limit=2)
    assert [(e.position, e.job_id, e.version, e.type, e.job_type) for e in page.events + rest.events] == [
        (1, first, 1, "Created", "A"),
        (2, second, 1, "Created", "B"),
        (3, first, 2, "Cancelled", "A"),
    ]
    assert (page.position, page.head, rest.position, end.events, end.position) == (2, 3, 3, (), 3)
    assert (page.events[0].content, page.events[0].actor) == (b'{"a":  1}', "client")
    assert (rest.events[0].data, rest.events[0].content) == (b'{"reason":"r"}', None)
    assert (await bench.pages.page(99, limit=2)).head == 3


async def test_large_contents_end_a_page_early_and_never_keep_it_empty(postgres_url: str) -> None:
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(PostgresEventLog(postgres_url, application="contract", patience=10.0))
        pool = await opened.enter_async_context(make_pool(postgres_url, size=1, application="contract"))
        for _ in range(4):
            await create(log, payload=b'"' + b"x" * 900 + b'"')
        pages = PostgresEventPages(pool, page_bytes=1900)
        sizes = [len((await pages.page(after, limit=9)).events) for after in (0, 1, 3)]
        assert sizes == [2, 2, 1]
        assert len((await PostgresEventPages(pool, page_bytes=1).page(0, limit=9)).events) == 1


async def test_a_gap_is_damage(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute(
            "insert into events select n, gen_random_uuid(), 1, 'Created', '{}', null, 'a', now() from unnest(array[1, 3]) n"
        )
    async with make_pool(postgres_url, size=1, application="contract") as pool:
        with pytest.raises(LogDamaged, match="gap"):
            await PostgresEventPages(pool).page(0, limit=5)


@pytest.mark.parametrize("after", [0, 3, 7])
async def test_who_follows_gets_everything_once_and_in_order_also_what_comes_meanwhile(
    bench: Bench, after: int
) -> None:
    for _ in range(5):
        await create(bench.log)
    follower = follower_of(bench.pages)

    async def write() -> None:
        for _ in range(20):
            await create(bench.log)
            await asyncio.sleep(0.002)

    writing = asyncio.create_task(write())

    async def is_there() -> bool:
        return after <= (await bench.pages.page(0, limit=1)).head

    await until(is_there)
    found: list[int] = []
    async with asyncio.timeout(30), aclosing(follower.follow(after)) as pages:
        async for page in pages:
            found += [event.position for event in page.events]
            if found and found[-1] == 25:
                break
    await writing
    follower.close()
    assert found == list(range(after + 1, 26))


async def test_who_stand_at_one_place_share_a_reading() -> None:
    log = FakeEventLog()
    pages = FakeEventPages(log)
    follower = follower_of(pages)

    found: list[list[int]] = [[] for _ in range(200)]

    async def follow(seen: list[int]) -> None:
        async with aclosing(follower.follow(0)) as following:
            async for page in following:
                seen += [event.position for event in page.events]

    many = [asyncio.create_task(follow(seen)) for seen in found]
    for _ in range(10):
        await create(log)
        await asyncio.sleep(0.03)
    await until(lambda: all(len(seen) >= 10 for seen in found))
    asked = pages.asked
    follower.close()
    async with asyncio.timeout(30):
        await asyncio.gather(*many)
    assert all(seen == list(range(1, 11)) for seen in found)
    assert asked < 200


async def test_an_outage_is_waited_out_by_who_follows() -> None:
    log = FakeEventLog()
    follower = follower_of(FakeEventPages(log))
    found: list[int] = []

    async def follow() -> None:
        async with aclosing(follower.follow(0)) as following:
            async for page in following:
                found.extend(event.position for event in page.events)

    following = asyncio.create_task(follow())
    await create(log)
    await asyncio.sleep(0.05)
    log.away = True
    with pytest.raises(Unavailable):
        await follower.page(50)
    await asyncio.sleep(0.05)
    log.away = False
    await create(log)
    await until(lambda: found == [1, 2])
    follower.close()
    await following
