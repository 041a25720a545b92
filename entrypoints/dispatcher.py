"""The process `jobledger dispatcher`: relays the log to the queue, wakes what is due, closes what dead workers left.

The loops are independent: while Redis is away, jobs are woken and lost attempts closed all the same. One dispatcher leads, by
a lease; the others stand by.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress

import structlog
from prometheus_client import Metric
from redis.asyncio import Redis

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.progress_board import PostgresProgressBoard
from adapters.postgres.queue_feed import PostgresQueueFeed
from adapters.postgres.standing_reader import PostgresStandingReader
from adapters.postgres.wake_ups import QUEUED, AppendListener
from adapters.prometheus import families
from adapters.redis.connecting import check_server, connect
from adapters.redis.queue_depth import RedisQueueDepth
from adapters.redis.relay_queue import RedisConsumers
from commands.heartbeat import BEAT_EVERY
from commands.mend_queue import MendQueue
from commands.outages import Outages
from commands.ports import Unavailable
from commands.relay_events import Relay
from commands.wake_due import WakeDue
from commands.watch_workers import WatchWorkers
from domain.errors import JobledgerError, LogDamaged
from entrypoints import wiring
from entrypoints.metrics import serving_metrics, standing_now, writer_metrics
from entrypoints.process import stop_on_signals, unique_name, wait_until_ready
from entrypoints.repeating import repeat
from entrypoints.settings import InvalidSetting, Settings

_log = structlog.get_logger(__name__)

LEASE_EVERY = 1.0  # seconds
RELAY_POLL = 0.25  # seconds: how late an event is relayed whose wake-up was lost; also finds a queue that was emptied
STAND_BY = 0.2  # seconds between two looks at whether this dispatcher leads
WATCH_EVERY = 1.0  # seconds
MEND_EVERY = 180.0  # seconds between two looks for queued jobs that have no entry
FORGET_EVERY = 60.0  # seconds between two looks for consumers of workers that are gone
KEYS_EVERY = 600.0  # seconds between two sweeps of old idempotency keys
PROGRESS_EVERY = 600.0  # seconds between two sweeps of what dead workers left of progress
PROGRESS_HOURS = 1.0  # that it must be old: by then `jobs` shows whether its attempt runs
_PATIENCE = 5.0  # seconds that an append is tried; then its loop looks anew at what there is to do, or stops
STUCK_PAUSE = 5.0  # seconds before the relay looks again at what only a person can mend


async def run(settings: Settings) -> None:
    """Dispatch until SIGTERM or SIGINT. Raises InvalidSetting, SchemaMismatch, UnsuitableServer."""
    if not settings.redis_url:
        raise InvalidSetting(
            "REDIS_URL", "", "must be set for this command (`jobledger up` starts a Valkey of its own)"
        )
    with stop_on_signals() as stop:
        await wait_until_ready(settings, stop)
        if stop.is_set():
            return
        outages = Outages(report=_log)
        async with AsyncExitStack() as opened:
            redis = await opened.enter_async_context(connect(settings.redis_url, name="jobledger-dispatcher"))
            feeds = [
                await opened.enter_async_context(aclosing(PostgresQueueFeed(settings.database_url)))
                for _ in range(2)  # one serves one loop at a time
            ]
            dispatcher = Dispatcher(
                settings,
                name=unique_name(),
                redis=redis,
                feeds=feeds,
                pool=await opened.enter_async_context(wiring.pool(settings, application="dispatcher", size=4)),
                log=await opened.enter_async_context(
                    wiring.event_log(settings, application="dispatcher", outages=outages, patience=_PATIENCE)
                ),
                wake_ups=await opened.enter_async_context(
                    AppendListener(
                        settings.database_url, channel=QUEUED, application="jobledger dispatcher", outages=outages
                    )
                ),
                outages=outages,
            )
            async with serving_metrics(settings, "dispatcher", dispatcher.metrics):
                _log.info("dispatcher ready")
                await dispatcher.run(stop)
        _log.info("dispatcher stopped")


class Dispatcher:
    """The loops of one dispatcher, and what they know of each other: whether it leads, and how Redis is."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        redis: Redis,
        feeds: Sequence[PostgresQueueFeed],
        pool: wiring.Pool,
        log: PostgresEventLog,
        wake_ups: AppendListener,
        outages: Outages,
    ) -> None:
        policy = wiring.retry_policy(settings)
        self._idempotency_key_hours = settings.idempotency_key_hours
        self._name = name
        self._redis = redis
        self._log = log
        self._pool = pool
        self._standing = PostgresStandingReader(pool)
        self._depth = RedisQueueDepth(redis)
        self._given_up = self._lost = 0  # workers and attempts, so far
        self._database = wiring.dispatch(settings, pool, holder=name)
        self._progress = PostgresProgressBoard(pool)
        self._queue = wiring.relay_queue(settings, redis)
        self._relay = Relay(queue=self._queue, feed=feeds[0])
        self._mend_queue = MendQueue(queue=self._queue, feed=feeds[1])
        self._consumers = RedisConsumers(redis)
        self._wake_due = WakeDue(waiting=self._database, log=log, actor=name)
        self._watch_workers = WatchWorkers(
            table=self._database,
            log=log,
            policy=policy,
            actor=name,
            # It may have appended up to a beat after its last one: nobody is lost sooner than LIVENESS_SECONDS after that.
            liveness=settings.liveness_seconds + BEAT_EVERY,
            now=time.monotonic,
        )
        self._wake_ups = wake_ups
        self._outages = outages
        self._leads = False
        self._server_checked = False
        self._redis_state = "unknown"
        self._stands_for = ""  # what only a person can mend, as it was told

    async def run(self, stop: asyncio.Event) -> None:
        """Run all loops until `stop` is set, then let another dispatcher lead at once. An error of one loop ends all."""
        loops: list[tuple[str, Callable[[], Awaitable[float]], Callable[[float], Awaitable[None]] | None]] = [
            ("hold the lease", self._hold_lease, None),
            ("relay the log to the queue", self._if_leading(self._relay_page), self._wake_ups.wait),
            ("wake due jobs", self._if_leading(self._wake_due.step), None),
            ("watch the workers", self._if_leading(self._watch), None),
            ("look for jobs that are missing in the queue", self._if_leading(self._mend), None),
            ("forget old consumers", self._if_leading(self._forget_consumers), None),
            ("sweep idempotency keys", self._if_leading(self._sweep_keys), None),
            ("sweep progress", self._if_leading(self._sweep_progress), None),
        ]
        async with asyncio.TaskGroup() as group:
            for what, step, wait in loops:
                group.create_task(repeat(step, what=what, stop=stop, outages=self._outages, wait=wait), name=what)
        with suppress(Unavailable):
            await self._database.give_up()

    async def metrics(self) -> list[Metric]:
        """What this dispatcher shows of itself, of the queue and of the readers of the log."""
        relayed = self._relay.relayed_position or 0
        depth: Mapping[str, int] = {}
        if self._leads:
            with suppress(Unavailable):
                depth = await self._depth.read()
        return [
            *writer_metrics(self._log, self._pool, self._outages, uses=["PostgreSQL", "Redis"]),
            *families.standing(await standing_now(self._standing, relayed=relayed if self._leads else 0)),
            *families.dispatcher(
                leads=self._leads,
                depth=depth,
                relayed=self._relay.relayed_entries,
                resets=self._relay.resets,
                given_up=self._given_up,
                lost=self._lost,
                longest_silence=self._watch_workers.longest_silence,
                late=self._wake_due.late,
            ),
        ]

    def _if_leading(self, step: Callable[[], Awaitable[float]]) -> Callable[[], Awaitable[float]]:
        async def stand_by_or_step() -> float:
            return await step() if self._leads else STAND_BY

        return stand_by_or_step

    async def _hold_lease(self) -> float:
        led = self._leads
        try:
            self._leads = await self._database.hold(
                relayed_position=self._relay.relayed_position or 0, redis_state=self._redis_state
            )
        except Unavailable:
            self._leads = False
            raise
        if self._leads and not led:
            _log.info("leading", dispatcher=self._name)
        elif led and not self._leads:
            _log.warning("another dispatcher leads", dispatcher=self._name)
        return LEASE_EVERY

    async def _relay_page(self) -> float:
        try:
            if not self._server_checked:
                await check_server(self._redis)
                self._server_checked = True
            has_more = await self._relay.step()
        except Unavailable as exc:
            self._redis_state = str(exc)
            raise
        except JobledgerError as exc:
            # Only a person can mend it, and then this goes on by itself; the other loops do not wait for that.
            self._redis_state = str(exc)
            if self._stands_for != str(exc):
                self._stands_for = str(exc)
                _log.error("the relay stands", error=str(exc), code=exc.code)
            return STUCK_PAUSE
        if self._stands_for:
            self._stands_for = ""
            _log.info("the relay goes on")
        self._redis_state = "ok"
        return 0.0 if has_more else RELAY_POLL

    async def _watch(self) -> float:
        removed, closed = await self._watch_workers.step()
        self._given_up += len(removed)
        self._lost += len(closed)
        for worker in removed:
            _log.warning("worker given up: its heartbeat stood still", worker=worker)
        traces: Mapping[str, tuple[int | None, str | None]] = {}
        if closed:
            with suppress(Unavailable):  # the lines without them are better than none
                traces = await self._database.traces(closed)
        for job in closed:
            position, trace = traces.get(job.id, (None, None))
            _log.warning(
                "attempt lost",
                job_id=job.id,
                attempt=job.attempts,
                worker=job.worker,
                position=position,
                trace_id=trace,
            )
        return WATCH_EVERY

    async def _mend(self) -> float:
        with suppress(LogDamaged):  # the relay meets the same damage, and says so
            return 0.0 if await self._mend_queue.step() else MEND_EVERY
        return MEND_EVERY

    async def _forget_consumers(self) -> float:
        await self._consumers.forget(alive=list(await self._database.counters()))
        return FORGET_EVERY

    async def _sweep_keys(self) -> float:
        await self._database.sweep(older_than_hours=self._idempotency_key_hours)
        return KEYS_EVERY

    async def _sweep_progress(self) -> float:
        await self._progress.sweep(older_than_hours=PROGRESS_HOURS)
        return PROGRESS_EVERY
