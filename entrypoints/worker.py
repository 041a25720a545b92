"""The process `jobledger worker`: claims and runs jobs. Any number may run."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import structlog
from prometheus_client import Metric

from adapters.files.leftovers import sweep_leftovers
from adapters.postgres.job_reader import PostgresJobReader
from adapters.postgres.progress_board import PostgresProgressBoard
from adapters.postgres.worker_registry import PostgresWorkerRegistry
from commands.heartbeat import Heartbeat
from commands.keep_progress import ProgressKeeper
from commands.outages import Outages
from commands.ports import Unavailable
from commands.queue_ports import ClaimQueue, Source
from commands.uninterrupted_queue import UninterruptedQueue
from commands.worker import Worker
from entrypoints import wiring
from entrypoints.metrics import serving_metrics, worker_metrics, writer_metrics
from entrypoints.process import stop_on_signals, unique_name, wait_until_ready
from entrypoints.repeating import pause_after, repeat
from entrypoints.settings import InvalidSetting, Settings

_log = structlog.get_logger(__name__)

# What is beyond every time-out may still end by itself: code that blocks the event loop, or hears no stop. So long it is given,
# as a multiple of LIVENESS_SECONDS, before its worker ends and leaves it: it becomes lost, and runs in a process of its own.
GRACE_IN_LIVENESS = 2.0
LOOK_EVERY = 1.0  # seconds between two looks for such code
SWEEP_EVERY = 3600.0  # seconds between two looks for temporary files of dead attempts
_SHOW_PROGRESS = "show progress"  # what outages know it by
_LAST_LOOK = 1.0  # seconds that the last of it may take: nothing that a stop should wait for longer
EXIT_HOPELESS = 70  # EX_SOFTWARE of sysexits.h: a handler blocks the event loop or does not end


async def run(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; then what runs has SHUTDOWN_GRACE_SECONDS to end or to be released.

    Raises InvalidSetting, UnusableJobType, SchemaMismatch. Ends the process where a handler's thread does not end.
    """
    if not settings.redis_url:
        raise InvalidSetting(
            "REDIS_URL", "", "must be set for this command (`jobledger up` starts a Valkey of its own)"
        )
    types = wiring.job_types(settings)
    with stop_on_signals() as stop:
        await wait_until_ready(settings, stop)
        if stop.is_set():
            return
        async with AsyncExitStack() as opened:
            threads = ThreadPoolExecutor(settings.worker_concurrency, thread_name_prefix="attempt")
            outages = Outages(report=_log)
            log = await opened.enter_async_context(wiring.event_log(settings, application="worker", outages=outages))
            pool = await opened.enter_async_context(wiring.pool(settings, application="worker", size=2))
            queues: list[UninterruptedQueue] = []

            def queue_of(name: str) -> ClaimQueue:
                streams = wiring.claim_queue(settings, types, name)
                opened.push_async_callback(streams.aclose)
                queues.append(wiring.uninterrupted_queue(streams, pool, types, name, outages=outages))
                opened.push_async_callback(queues[-1].aclose)
                return queues[-1]

            worker = Worker(
                unique_name(),
                queue_of=queue_of,
                log=log,
                jobs=PostgresJobReader(pool),
                job_types=types,
                runner=wiring.job_type_runner(settings, types, threads=threads),
                slots=settings.worker_concurrency,
                default_timeout=settings.job_timeout_seconds,
                policy=wiring.retry_policy(settings),
                report=_log,
                outages=outages,
                pause_after=pause_after,
            )
            heartbeat = _heartbeat(
                settings,
                worker,
                claims_from=lambda: queues[-1].source if worker.can_claim else None,
                outages=outages,
            )
            heartbeat.start()

            async def gather() -> list[Metric]:
                return [
                    *writer_metrics(log, pool, outages, uses=["PostgreSQL", "Redis"]),
                    *worker_metrics(worker, heartbeat, loop_silent=time.monotonic() - worker.running.ticked_at),
                ]

            await opened.enter_async_context(serving_metrics(settings, "worker", gather))
            _log.info("worker starting", worker=worker.name, types=sorted(types), slots=settings.worker_concurrency)
            sweeping = asyncio.create_task(
                repeat(lambda: _sweep_leftovers(settings), what="sweep leftovers", stop=stop, outages=outages),
                name="sweep leftovers",
            )
            keeper = ProgressKeeper(running=worker.running, board=PostgresProgressBoard(pool))
            async with _showing_progress(keeper, outages):
                running, is_hopeless = await _run_until(stop, worker, heartbeat, grace=_grace(settings))
                stop.set()  # also where an error of its own ended it: nothing may wait for a signal now
                await sweeping
                _log.info("worker stopping", running=len(worker.running))
                all_ended = await worker.finish(grace=settings.shutdown_grace_seconds)
            # The worker's row goes after the last closing event. What is left open is closed in a while by who watches the row,
            # since its code may not have ended: nothing is lost in haste.
            await asyncio.to_thread(heartbeat.stop, leave_row=not all_ended)
            if running.done():  # else its last claim waits for PostgreSQL, until the log is closed below
                running.result()
            threads.shutdown(wait=False)
        _log.info("worker stopped")
        if not all_ended:
            # Their threads do not end (and the interpreter would wait for these for ever), or the log does not answer.
            _log.warning("attempts stay open, and will be closed as lost", jobs=len(worker.running))
            os._exit(EXIT_HOPELESS if is_hopeless else 0)


@asynccontextmanager
async def _showing_progress(keeper: ProgressKeeper, outages: Outages) -> AsyncIterator[None]:
    """Show how far the attempts are, also those that end while the worker stops; and at last, that they are over."""
    over = asyncio.Event()

    async def show() -> None:
        await repeat(keeper.step, what=_SHOW_PROGRESS, stop=over, outages=outages)
        with suppress(Unavailable):  # a dispatcher takes it down
            await keeper.step()

    showing = asyncio.create_task(show(), name=_SHOW_PROGRESS)
    try:
        yield
    finally:
        over.set()
        await asyncio.wait((showing,), timeout=_LAST_LOOK)
        if showing.done():
            showing.result()
        else:
            showing.cancel()


async def _sweep_leftovers(settings: Settings) -> float:
    """Remove the temporary files of attempts that died; other workers do the same."""
    removed = await asyncio.to_thread(sweep_leftovers, settings.output_dir)
    if removed:
        _log.info("removed what dead attempts left", files=[path.name for path in removed])
    return SWEEP_EVERY


async def _run_until(
    stop: asyncio.Event, worker: Worker, heartbeat: Heartbeat, *, grace: float
) -> tuple[asyncio.Task[None], bool]:
    """Let the worker run from its registration until `stop`; an error of its own ends this too, and an attempt that does not end.

    Gives the task of it, which may still wait for the answer to a last claim, and whether there is such an attempt.
    """
    stopped = asyncio.create_task(stop.wait())
    registered = asyncio.create_task(asyncio.to_thread(_wait_for, heartbeat, stop))
    await asyncio.wait([stopped, registered], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        worker.stop()
    running = asyncio.create_task(worker.run())
    watching = asyncio.create_task(_until_hopeless(worker, grace=grace))
    _log.info("worker ready")
    await asyncio.wait([stopped, running, watching], return_when=asyncio.FIRST_COMPLETED)
    worker.stop()
    stopped.cancel()
    watching.cancel()
    return running, watching.done()


async def _until_hopeless(worker: Worker, *, grace: float) -> None:
    """Return when an attempt is there that nothing ends but the end of this process."""
    while not (job_ids := worker.running.that_do_not_end(grace)):  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(LOOK_EVERY)
    _log.error("code of a job type hears no stop: this worker ends its other jobs and itself", job_ids=job_ids)


def _grace(settings: Settings) -> float:
    return GRACE_IN_LIVENESS * settings.liveness_seconds


def _wait_for(heartbeat: Heartbeat, stop: asyncio.Event) -> None:
    while not heartbeat.wait_until_registered(0.1) and not stop.is_set():
        pass


def _heartbeat(
    settings: Settings, worker: Worker, *, claims_from: Callable[[], Source | None], outages: Outages
) -> Heartbeat:
    loop = asyncio.get_running_loop()

    def in_loop(call: Callable[[Any], None]) -> Callable[[Any], None]:
        def hand_over(given: object) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody is left to hear it
                loop.call_soon_threadsafe(call, given)

        return hand_over

    return Heartbeat(
        registry=PostgresWorkerRegistry(settings.database_url),
        name=worker.name,
        new_name=unique_name,
        running=worker.running.snapshot,
        claims_from=claims_from,
        outages=outages,
        hear=in_loop(worker.hear),
        renewed=in_loop(worker.begin_anew),
        silent_for=lambda: time.monotonic() - worker.running.ticked_at,
        patience=lambda: max(worker.running.longest_timeout, settings.job_timeout_seconds) + _grace(settings),
        end_process=_end_silent_process,
    )


def _end_silent_process(seconds: float) -> None:
    _log.error("the event loop is blocked by a handler: ending this process", silent_seconds=round(seconds, 1))
    os._exit(EXIT_HOPELESS)
