"""Who has appended wakes those who read: as a hint, through outages, and never as a burden on the append."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.wake_ups import APPENDED, QUEUED, AppendListener, AppendNotifier, _Wanted, spacing
from commands.ports import Append, Appended, Conflict
from domain import job as verbs
from domain.events import Cancelled, NewEvent, Started
from tests.proxy import Proxy, proxy_to
from tests.real_log import Database, connected, register_workers
from tests.until import until


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with connected(postgres_url) as db:
        yield db


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def listener(postgres_url: str, proxy: Proxy) -> AsyncIterator[AppendListener]:
    """Listens behind the proxy."""
    async with AppendListener(proxy.url(postgres_url), channel=APPENDED, application="reader") as listener:
        assert await is_woken(listener)  # it listens now
        yield listener


async def is_woken(listener: AppendListener, *, within: float = 20.0, gather: float = 0.0) -> bool:
    begin = time.monotonic()
    await listener.wait(within, gather=gather)
    return time.monotonic() - begin < within * 0.9


def creation() -> Append:
    events = verbs.create(type="T", priority="default", payload=b"{}", max_attempts=3)
    return Append(str(uuid_utils.uuid7()), 0, events, "client")


async def test_an_append_wakes_the_reader_and_one_that_wrote_nothing_does_not(
    postgres_url: str, listener: AppendListener
) -> None:
    async with (
        AppendNotifier(postgres_url, application="writer") as notifier,
        PostgresEventLog(postgres_url, application="writer", wake_ups=notifier) as log,
    ):
        command = creation()
        [answer] = await log.append([command])
        assert isinstance(answer, Appended)
        assert await is_woken(listener)
        [again] = await log.append([command])
        assert isinstance(again, Conflict)
        assert not await is_woken(listener, within=0.1)


async def test_a_wake_up_before_the_wait_is_not_lost_and_counts_once(db: Database, listener: AppendListener) -> None:
    db.execute("notify jobledger_appended")
    await until(listener._woken.is_set)
    assert await is_woken(listener)
    assert not await is_woken(listener, within=0.05)


async def test_a_reader_that_gathers_looks_once_at_what_comes_together(db: Database, listener: AppendListener) -> None:
    db.execute("notify jobledger_appended")
    await until(listener._woken.is_set)
    waiting = asyncio.create_task(is_woken(listener, gather=0.3))
    await asyncio.sleep(0)
    db.execute("notify jobledger_appended")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    assert await waiting
    assert not await is_woken(listener, within=0.1)


_OF_NOTIFIER = "select from pg_stat_activity where datname = current_database() and application_name = 'writer notify'"


@pytest.mark.parametrize("commands", [1, 1_000])
async def test_an_append_wakes_readers_itself(
    postgres_url: str, db: Database, listener: AppendListener, commands: int
) -> None:
    async with (
        AppendNotifier(postgres_url, application="writer") as notifier,
        PostgresEventLog(postgres_url, application="writer", wake_ups=notifier) as log,
    ):
        await log.append([creation() for _ in range(commands)])
        assert await is_woken(listener)
        assert db.execute(_OF_NOTIFIER).fetchone() is None  # nothing was sent apart


async def test_what_comes_too_soon_after_a_wake_up_is_told_apart(
    postgres_url: str, db: Database, listener: AppendListener
) -> None:
    async with AppendNotifier(postgres_url, application="writer") as notifier:
        assert notifier.is_carried(events=1_000, queues=False)
        assert not notifier.is_carried(events=1, queues=False)
        notifier.notify(events=1, queues=False)
        assert await is_woken(listener)
        assert db.execute(_OF_NOTIFIER).fetchone() is not None


async def test_what_an_append_carried_is_not_told_again() -> None:
    wanted = _Wanted(APPENDED)
    wanted.add(1)
    waiting = asyncio.create_task(wanted.take())
    await asyncio.sleep(0)
    wanted.carried(1)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    wanted.add(2)
    assert await waiting == 2


class AlwaysCarried:
    """Every append wakes the readers itself."""

    def is_carried(self, *, events: int, queues: bool) -> bool:
        return True

    def notify(self, *, events: int, queues: bool) -> None:
        raise AssertionError("told twice")


async def test_an_append_that_wakes_readers_gives_the_same_answers(postgres_url: str, db: Database) -> None:
    register_workers(db, ["w"])
    async with (
        PostgresEventLog(postgres_url, application="writer", wake_ups=AlwaysCarried()) as waking,
        PostgresEventLog(postgres_url, application="writer") as silent,
    ):
        commands = [creation(), creation()]
        created = await waking.append(commands)
        assert [type(answer) for answer in created] == [Appended, Appended]
        assert await waking.append(commands) == await silent.append(commands)
        claims = [Append(command.job_id, 1, [NewEvent(Started(1, "w"))], "w") for command in commands]
        [first] = await waking.append(claims[:1])
        [second] = await silent.append(claims[1:])
        assert isinstance(first, Appended)
        assert isinstance(second, Appended)
        assert [event.content for event in first.history] == [event.content for event in second.history] == [b"{}"]


async def test_a_listener_that_is_cut_off_listens_again_and_has_the_reader_look(
    db: Database, proxy: Proxy, listener: AppendListener
) -> None:
    for _ in range(2):
        proxy.reset()
        assert await is_woken(listener)  # for what it could not hear
        db.execute("notify jobledger_appended")
        assert await is_woken(listener)


async def test_in_a_black_hole_the_reader_still_polls(db: Database, proxy: Proxy, listener: AppendListener) -> None:
    proxy.black_hole()
    db.execute("notify jobledger_appended")
    begin = time.monotonic()
    await listener.wait(0.25)
    assert 0.2 < time.monotonic() - begin < 10
    proxy.heal()
    assert await is_woken(listener)


async def test_a_thousand_appends_at_once_send_few_notifications_and_the_last_is_sent(
    postgres_url: str, listener: AppendListener
) -> None:
    async with AppendNotifier(postgres_url, application="writer") as notifier:
        for _ in range(1_000):
            notifier.notify(events=1, queues=False)
        assert await is_woken(listener)
        assert not await is_woken(listener, within=0.1)
        notifier.notify(events=1, queues=False)
        assert await is_woken(listener)


async def test_the_wake_up_after_one_event_is_near_and_after_many_is_no_farther_than_the_most() -> None:
    wanted = _Wanted(APPENDED)
    wanted.add(1)
    wanted.add(2)
    assert await wanted.take() == 3
    waiting = asyncio.create_task(wanted.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    wanted.add(5_000)
    assert await waiting == 5_000
    assert spacing(events=5_000) == spacing(events=1_000)
    assert 0 < spacing(events=1) < spacing(events=1_000) / 10


async def test_a_notifier_that_is_cut_off_goes_on(postgres_url: str, db: Database, listener: AppendListener) -> None:
    async with AppendNotifier(postgres_url, application="writer") as notifier:
        notifier.notify(events=1, queues=False)
        assert await is_woken(listener)
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'writer notify'"
        )
        notifier.notify(events=1, queues=False)  # may fail on the dead connection; the next makes a new one

        async def woken_again() -> bool:
            notifier.notify(events=1, queues=False)
            return await is_woken(listener, within=0.3)

        await until(woken_again)


async def test_who_keeps_the_queue_hears_only_of_what_may_queue_a_job(postgres_url: str) -> None:
    async with (
        AppendListener(postgres_url, channel=QUEUED, application="relay") as relay,
        AppendListener(postgres_url, channel=APPENDED, application="projector") as projector,
        AppendNotifier(postgres_url, application="writer") as notifier,
        PostgresEventLog(postgres_url, application="writer", wake_ups=notifier) as log,
    ):
        assert await is_woken(relay)
        assert await is_woken(projector)
        command = creation()
        await log.append([command])
        assert await is_woken(relay)
        assert await is_woken(projector)
        await log.append([Append(command.job_id, 1, [NewEvent(Cancelled())], "client")])
        assert await is_woken(projector)
        assert not await is_woken(relay, within=0.1)


async def test_a_stop_wakes_the_reader_too(listener: AppendListener) -> None:
    waiting = asyncio.create_task(is_woken(listener))
    await asyncio.sleep(0)
    listener.wake()
    assert await waiting
