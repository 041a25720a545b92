"""Row 19a: a cancel that is asked for in the very moment in which the attempt ends, fails, times out, is lost or is released.

One lock decides: whoever is in its queue first. So the test holds it, lets both queue up in either order, and lets go.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import redis

from adapters.embedded.postgres import PostgresServer
from adapters.embedded.valkey import ValkeyServer
from adapters.postgres.event_log import PostgresEventLog
from tests.conftest import migrated_database
from tests.faults.cancelling import cancel
from tests.faults.judged_service import JudgedService
from tests.until import until

_LIVENESS = 3  # seconds
_WAITERS = (
    "select count(*)::int from pg_locks l join pg_database d on d.oid = l.database"
    " where l.locktype = 'advisory' and not l.granted and d.datname = current_database()"
)


@pytest.fixture(scope="module")
def backbone(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    migrated_template: str,
    valkey_server: ValkeyServer,
) -> Iterator[JudgedService]:
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    settings = {"LIVENESS_SECONDS": _LIVENESS, "SHUTDOWN_GRACE_SECONDS": 2}
    with (
        migrated_database(postgres_server, migrated_template) as url,
        JudgedService(
            tmp_path_factory.mktemp("service"), postgres_url=url, redis_url=valkey_server.url, **settings
        ) as made,
    ):
        made.start("api", "dispatcher", "projector")
        yield made


@pytest.fixture
async def service(backbone: JudgedService) -> AsyncIterator[JudgedService]:
    """With one worker; what the test leaves is judged, after another worker has taken what is still queued."""
    backbone.start("worker")
    try:
        yield backbone
        if not backbone["worker"].is_running:
            backbone.start("worker")
        verdict = await backbone.verdict()
        assert verdict.passed, verdict.text()
    finally:
        backbone.end("worker")


@asynccontextmanager
async def _log_of(service: JudgedService) -> AsyncIterator[PostgresEventLog]:
    async with PostgresEventLog(service.database_url, application="cancel", patience=20.0) as log:
        yield log


@pytest.mark.parametrize(
    ("how", "first"),
    [
        pytest.param(how, first, marks=pytest.mark.short_form if (how, first) == ("ends", "the cancel") else ())
        for how in ("ends", "fails", "times out", "is lost", "is released")
        for first in ("the cancel", "the end")
    ],
)
async def test_19a_a_cancel_in_the_moment_in_which_an_attempt_ends_leaves_nothing_stuck(
    how: str, first: str, service: JudgedService
) -> None:
    gate = service.gate()
    kind = "TALLIED_BRIEF" if how == "times out" else "TALLIED_GATED"
    job = service.post(kind, {"gate": str(gate), "fails": how == "fails"})
    await until(lambda: service.tally(job, "begin") != [])

    async with _log_of(service) as log:
        if how == "is lost":
            service["worker"].kill()
            if first == "the cancel":
                await asyncio.sleep(_LIVENESS - 1)  # nobody waits for the log's lock for longer than 5 s
        cancelling: asyncio.Task[bool] | None = None
        with service.log_held():
            if first == "the cancel":
                cancelling = asyncio.create_task(cancel(service, log, job))
                await _until_waiting(service, 1)
            if how in ("ends", "fails"):
                gate.touch()
            elif how == "is released":
                service["worker"].signal(signal.SIGTERM)
            if first == "the end":
                await _until_waiting(service, 1)
                cancelling = asyncio.create_task(cancel(service, log, job))
            await _until_waiting(service, 2)
        assert cancelling is not None
        was_there = await cancelling
    if how == "is released":
        assert await asyncio.to_thread(service["worker"].ended) == 0
    await until(lambda: service.last_types([job])[job] in ("Completed", "Cancelled"), saw=lambda: service.history(job))

    if first == "the cancel":
        assert was_there
        closed = ["CancelRequested", "Completed" if how == "ends" else "Cancelled"]
    else:
        assert was_there is (how != "ends")
        closed = {"ends": ["Completed"], "is released": ["Attempted", "Queued", "Cancelled"]}.get(
            how, ["Attempted", "Cancelled"]
        )
    assert service.history(job) == ["Created", "Started", *closed]
    if how == "is lost":
        assert [getattr(event, "outcome", None) for event in service.events(job)].count("lost") == 1


async def test_19a_cancels_at_random_moments_of_jobs_that_end_in_every_way_leave_nothing_stuck(
    service: JudgedService,
) -> None:
    dice = Random(19)
    service.start("worker 2")
    gate = service.gate()
    gate.touch()
    kinds: list[Callable[[], str]] = [
        lambda: service.post("TALLIED_SLOW", {"seconds": dice.choice((0.2, 0.5, 1.0))}),
        lambda: service.post("TALLIED_FLAKY", {"times": dice.choice((1, 2, 3))}),
        lambda: service.post("TALLIED_THREAD", {"seconds": dice.choice((0.2, 0.5, 1.0))}),
        lambda: service.post("TALLIED_BRIEF"),
        lambda: service.post("TALLIED_LATER", {"seconds": 0.3}),
        lambda: service.post("TALLIED_GATED", {"gate": str(gate)}),
        lambda: service.post("TALLIED_PROCESS"),
    ]
    jobs = [dice.choice(kinds)() for _ in range(60)]

    async def cancel_at(job: str, moment: float) -> bool:
        await asyncio.sleep(moment)
        return await cancel(service, log, job)

    async with _log_of(service) as log:
        cancels = [asyncio.create_task(cancel_at(job, dice.uniform(0, 3))) for job in jobs]
        await asyncio.sleep(1.0)  # some have been cancelled by now, some have ended; then their workers go
        service["worker 2"].kill()
        service["worker"].signal(signal.SIGTERM)
        await asyncio.to_thread(service["worker"].ended)
        service.start("worker")
        found = await asyncio.gather(*cancels)
    ends = ("Completed", "Cancelled", "Failed")
    await until(lambda: set(service.last_types(jobs).values()) <= set(ends), saw=lambda: service.last_types(jobs))
    last = list(service.last_types(jobs).values())
    assert sum(found) > 10
    assert last.count("Cancelled") > 10
    for job, was_there in zip(jobs, found, strict=True):
        assert service.last_types([job])[job] in (("Completed", "Cancelled") if was_there else ends), service.history(
            job
        )


async def _until_waiting(service: JudgedService, count: int) -> None:
    await until(lambda: service.ask(_WAITERS) == [(count,)], within=8, saw=lambda: service.ask(_WAITERS))
