"""What every JobIntake promises: the service over HTTP, and its fake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from adapters.http.job_intake import HttpJobIntake
from commands.ports import Unavailable
from commands.submit_jobs import BatchTooLarge, IntakeAnswer, IntakeRefuses, JobIntake
from entrypoints.api.server import bound_socket, serve
from tests.api_under_test import MAX_BATCH_BYTES, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.fakes.job_intake import FakeJobIntake


def job(key: str, payload: int = 1, *, type: str = "CSV_EXPORT") -> bytes:
    return b'{"type":"%b","payload":%d,"idempotencyKey":"%b"}' % (type.encode(), payload, key.encode())


class Bench:
    """An intake, and the log of the service behind it if it is a real one."""

    def __init__(self, intake: JobIntake, log: FakeEventLog | None) -> None:
        self.intake = intake
        self.log = log

    async def post(self, *jobs: bytes) -> list[IntakeAnswer]:
        return await asyncio.to_thread(self.intake.post, jobs)


@pytest.fixture(params=["fake", "http"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield Bench(FakeJobIntake(refuses=lambda sent: b"NOPE" in sent), None)
        return
    log, stop = FakeEventLog(), asyncio.Event()
    with bound_socket("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(make_api(log, FakeHealthReader()), bound, stop=stop, grace=5.0, head_seconds=60.0, body_seconds=60.0)
        )
        with closing(HttpJobIntake(f"http://127.0.0.1:{bound.getsockname()[1]}/")) as intake:
            yield Bench(intake, log)
        stop.set()
        await serving


async def test_each_job_is_answered_in_its_order(bench: Bench) -> None:
    answers = await bench.post(job("a"), job("b", type="NOPE"), job("c"))

    assert [bool(answer.problem) for answer in answers] == [False, True, False]
    assert [answer.replayed for answer in answers] == [False, False, False]


async def test_a_key_is_one_job(bench: Bench) -> None:
    await bench.post(job("a"))

    again, changed, new = await bench.post(job("a"), job("a", 2), job("b"))

    assert again == IntakeAnswer(replayed=True)
    assert changed.problem
    assert new == IntakeAnswer()


async def test_a_service_that_is_away_is_told_from_one_that_refuses() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        intake = HttpJobIntake(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with closing(intake), pytest.raises(Unavailable, match="does not answer"):
            await asyncio.to_thread(intake.post, [job("a")])
    for url in ("127.0.0.1:3000", "ftp://127.0.0.1", "http://", "http://[", f"http://127.0.0.1:{10**6}"):
        with pytest.raises(IntakeRefuses, match="is no URL"):
            HttpJobIntake(url)


@pytest.mark.parametrize("bench", ["http"], indirect=True)
async def test_what_the_service_says_to_a_request_as_a_whole(bench: Bench) -> None:
    assert bench.log is not None
    large = b'{"type":"CSV_EXPORT","payload":"%b"}' % (b"x" * MAX_BATCH_BYTES)
    with pytest.raises(BatchTooLarge, match="MAX_BATCH_BYTES"):
        await bench.post(large, large)
    [alone] = await bench.post(large)
    assert "MAX_BATCH_BYTES" in alone.problem
    bench.log.away = True
    with pytest.raises(Unavailable, match="answers 503") as away:
        await bench.post(job("a"))
    assert away.value.retry_after >= 1
    bench.log.away = False
    assert await bench.post(job("a")) == [IntakeAnswer()]
