"""Attempts in the event loop and in threads; those in processes of their own stand in tests/integration/test_own_process.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import jobledger
from adapters.job_types.code import UnusableJobType
from adapters.job_types.runner import JobTypeRunner
from commands.attempt import AttemptContext, AttemptRunner, Errored, Outcome, Stopped, Succeeded
from domain.errors import UnknownJobType

CREATED_AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


class Greeting(msgspec.Struct):
    name: str


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def context() -> AttemptContext:
    return AttemptContext("0190f5fe-7c00-7a00-8000-000000000001", 1, CREATED_AT)


@pytest.fixture
def runner_of(threads: ThreadPoolExecutor) -> Callable[..., AttemptRunner]:
    def make(*job_types: jobledger.JobType) -> AttemptRunner:
        return JobTypeRunner(
            {job_type.name: job_type for job_type in job_types},
            threads=threads,
            settings={},
            result_max_bytes=1000,
            kill_after=1,
        )

    return make


@pytest.fixture
def run(runner_of: Callable[..., AttemptRunner], context: AttemptContext) -> Callable[..., Any]:
    async def run(handler: Callable[..., Any], payload: bytes = b'{"name":"Ada"}') -> Outcome:
        job_type = jobledger.job_type("T", payload=Greeting)(handler)
        return await runner_of(job_type).run("T", payload, context)

    return run


async def in_loop(payload: Greeting, context: jobledger.Context) -> str:
    return f"Hello, {payload.name}, attempt {context.attempt}!"


def in_thread(payload: Greeting, context: jobledger.Context) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return f"Hello, {payload.name}, attempt {context.attempt}!"


@pytest.mark.parametrize("handler", [in_loop, in_thread])
async def test_a_handler_gets_its_payload_and_returns_its_result(run: Callable[..., Any], handler: Any) -> None:
    assert await run(handler) == Succeeded(b'"Hello, Ada, attempt 1!"')


@pytest.mark.parametrize("handler", [in_loop, in_thread])
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"name":3}', "Expected `str`, got `int` - at `$.name`"),
        (b"{}", "missing required field `name`"),
        (b'{"name":', "truncated"),
        (b"[" * 100_000, "Expected `object`"),
    ],
)
async def test_a_payload_that_does_not_fit_is_an_ordinary_error(
    run: Callable[..., Any], handler: Any, payload: bytes, reason: str
) -> None:
    outcome = await run(handler, payload)

    assert isinstance(outcome, Errored)
    assert not outcome.permanent
    text = msgspec.json.decode(outcome.error, type=str)
    assert text.startswith("the payload does not fit T: ")
    assert reason in text


class Screaming(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        raise SystemExit("no such payload")


async def test_a_payload_type_that_raises_is_an_ordinary_error(
    runner_of: Callable[..., AttemptRunner], context: AttemptContext
) -> None:
    @jobledger.job_type("T", payload=Screaming)
    async def handler(_payload: Screaming, _context: jobledger.Context) -> None:
        pass

    outcome = await runner_of(handler).run("T", b'{"name":"Ada"}', context)

    assert outcome == Errored(b'"the payload does not fit T: SystemExit: no such payload"')


@pytest.mark.parametrize(
    "exc", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration(), BaseException("x")]
)
async def test_no_exception_of_a_handler_gets_out(run: Callable[..., Any], exc: BaseException) -> None:
    async def raises_in_loop(_payload: Greeting, _context: jobledger.Context) -> None:
        raise exc

    def raises_in_thread(_payload: Greeting, _context: jobledger.Context) -> None:
        raise exc

    assert isinstance(await run(raises_in_loop), Errored)
    assert isinstance(await run(raises_in_thread), Errored)


async def test_an_async_handler_is_stopped_by_cancelling_its_task(
    run: Callable[..., Any], context: AttemptContext
) -> None:
    waiting = asyncio.Event()

    async def waits(_payload: Greeting, _context: jobledger.Context) -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(waits))
    await waiting.wait()
    context.stop()
    task.cancel()

    assert await task == Stopped(b'"CancelledError"')


async def test_an_async_handler_that_swallows_the_cancellation_has_succeeded(
    run: Callable[..., Any], context: AttemptContext
) -> None:
    waiting = asyncio.Event()

    async def finishes(_payload: Greeting, _context: jobledger.Context) -> str:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return ""

    task = asyncio.create_task(run(finishes))
    await waiting.wait()
    context.stop()
    task.cancel()

    assert await task == Succeeded(b'"done all the same"')


async def test_a_cancellation_without_a_word_to_the_context_comes_out(run: Callable[..., Any]) -> None:
    waiting = asyncio.Event()

    async def waits(_payload: Greeting, _context: jobledger.Context) -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(waits))
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_handler_that_raises_a_cancellation_of_its_own_has_failed(run: Callable[..., Any]) -> None:
    async def waits_for_what_it_cancelled(_payload: Greeting, _context: jobledger.Context) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner

    def raises_in_thread(_payload: Greeting, _context: jobledger.Context) -> None:
        raise asyncio.CancelledError

    assert await run(waits_for_what_it_cancelled) == Errored(b'"CancelledError"')
    assert await run(raises_in_thread) == Errored(b'"CancelledError"')


class Threaded:
    """A handler in a thread that can be seen to run, and ends when it is allowed to."""

    def __init__(self, *, heeds: bool) -> None:
        self.began = asyncio.Event()
        self.may_end = threading.Event()
        self._heeds = heeds
        self._loop = asyncio.get_running_loop()

    def __call__(self, _payload: Greeting, context: jobledger.Context) -> str:
        self._loop.call_soon_threadsafe(self.began.set)
        while not self.may_end.wait(0.001):
            if self._heeds and context.should_stop:
                raise RuntimeError("told to stop")
        return "done"


@pytest.fixture
async def heedless() -> AsyncIterator[Threaded]:
    handler = Threaded(heeds=False)
    yield handler
    handler.may_end.set()


async def test_a_thread_is_told_to_stop_and_waited_for(run: Callable[..., Any], context: AttemptContext) -> None:
    handler = Threaded(heeds=True)
    task = asyncio.create_task(run(handler))
    await handler.began.wait()

    context.stop()
    task.cancel()

    assert await task == Stopped(b'"RuntimeError: told to stop"')


async def test_a_thread_that_does_not_stop_keeps_its_attempt_open_and_may_succeed(
    run: Callable[..., Any], context: AttemptContext, heedless: Threaded
) -> None:
    task = asyncio.create_task(run(heedless))
    await heedless.began.wait()

    context.stop()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    assert not task.done()
    heedless.may_end.set()

    assert await task == Succeeded(b'"done"')


async def test_a_second_cancellation_gives_up_waiting_for_a_thread(
    run: Callable[..., Any], context: AttemptContext, heedless: Threaded
) -> None:
    task = asyncio.create_task(run(heedless))
    await heedless.began.wait()

    context.stop()
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not heedless.may_end.is_set()


async def test_a_cancelled_thread_is_waited_for_also_without_a_word_to_the_context(
    run: Callable[..., Any], context: AttemptContext
) -> None:
    handler = Threaded(heeds=True)
    task = asyncio.create_task(run(handler))
    await handler.began.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert context.should_stop


async def test_a_plain_function_that_waits_for_a_thread_never_begins_once_it_is_told_to_stop(
    run: Callable[..., Any], threads: ThreadPoolExecutor, context: AttemptContext
) -> None:
    may_go = threading.Event()
    busy = [threads.submit(may_go.wait) for _ in range(4)]
    ran: list[str] = []

    def handler(_payload: Greeting, _context: jobledger.Context) -> None:
        ran.append("it did")

    task = asyncio.create_task(run(handler))
    await asyncio.sleep(0)
    context.stop()
    task.cancel()

    assert isinstance(await task, Stopped)
    may_go.set()
    await asyncio.wait([asyncio.wrap_future(one) for one in busy])
    assert ran == []


async def test_an_unknown_type_is_not_run(runner_of: Callable[..., AttemptRunner], context: AttemptContext) -> None:
    with pytest.raises(UnknownJobType, match="'U'"):
        await runner_of().run("U", b"{}", context)


def test_a_type_that_cannot_run_where_it_wants_is_refused(runner_of: Callable[..., AttemptRunner]) -> None:
    with pytest.raises(UnusableJobType, match="not async"):
        runner_of(jobledger.JobType(name="T", run=in_thread, runs_in="loop"))
    with pytest.raises(UnusableJobType, match="is async"):
        runner_of(jobledger.JobType(name="T", run=in_loop, runs_in="thread"))
    with pytest.raises(UnusableJobType, match="payload type"):
        runner_of(
            jobledger.JobType(name="T", run=in_thread, payload=dict[tuple[int, int] | str, int] | list[int] | set[int])
        )
