"""The one place that connects ports to adapters, from the settings. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import uuid_utils
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from adapters.job_types.registry import load_job_types
from adapters.job_types.runner import JobTypeRunner
from adapters.postgres.connecting import make_pool
from adapters.postgres.dispatch import PostgresDispatch
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.queued_jobs import PostgresQueuedJobs
from adapters.postgres.stats_projection import PostgresStatsProjection
from adapters.postgres.wake_ups import AppendNotifier
from adapters.redis.claim_queue import RedisClaimQueue
from adapters.redis.relay_queue import RedisRelayQueue
from commands.outages import Outages
from commands.queue_ports import ClaimQueue
from commands.uninterrupted_queue import UninterruptedQueue
from domain.job_type import JobType
from domain.retry import RetryPolicy
from entrypoints.repeating import pause_after
from entrypoints.settings import Settings

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
PortT = TypeVar("PortT")

# Seconds that a process of its own has to end after it was told to stop, before it is killed.
KILL_AFTER = 5.0


def settings_for_job_types(settings: Settings) -> dict[str, Any]:
    """The settings as job types are given them: NAME in capitals to a plain text, number or boolean."""
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    del plain["DATABASE_OWNER_URL"]  # no job's business
    return plain


def job_types(settings: Settings) -> dict[str, JobType]:
    """All installed job types by name. Raises UnusableJobType."""
    return load_job_types(settings_for_job_types(settings))


def job_type_runner(settings: Settings, types: Mapping[str, JobType], *, threads: Executor) -> JobTypeRunner:
    """What runs the code of attempts; `threads` has one for each slot."""
    runner = JobTypeRunner(
        types,
        threads=threads,
        settings=settings_for_job_types(settings),
        result_max_bytes=settings.result_max_bytes,
        kill_after=KILL_AFTER,
    )
    return _armed(runner, settings)


def retry_policy(settings: Settings) -> RetryPolicy:
    """How long to wait between attempts."""
    return RetryPolicy(base=settings.retry_base_seconds, cap=settings.retry_max_seconds)


def claim_queue(settings: Settings, types: Mapping[str, JobType], worker: str) -> RedisClaimQueue:
    """The streams' reading end for a worker of that name."""
    return _armed(RedisClaimQueue(settings.redis_url, worker_id=worker, job_types=list(types)), settings)


def relay_queue(settings: Settings, redis: Redis) -> RedisRelayQueue:
    """The writing end of the queue."""
    return _armed(RedisRelayQueue(redis), settings)


def dispatch(settings: Settings, pool: Pool, *, holder: str) -> PostgresDispatch:
    """What a dispatcher of that name asks of the database beside the log."""
    return _armed(PostgresDispatch(pool, holder=holder), settings)


def jobs_projection(settings: Settings) -> PostgresJobsProjection:
    """The read table `jobs`, as its projector takes it along the log."""
    return _armed(PostgresJobsProjection(settings.database_url), settings)


def stats_projection(settings: Settings) -> PostgresStatsProjection:
    """The counts `stats`, as a projector takes them along the log."""
    return PostgresStatsProjection(settings.database_url)


def uninterrupted_queue(
    streams: ClaimQueue, pool: Pool, types: Mapping[str, JobType], worker: str, *, outages: Outages
) -> UninterruptedQueue:
    """The queue's reading end for a worker of that name: the streams, and the table `jobs` while they are away."""
    jobs = PostgresQueuedJobs(pool, worker=worker, job_types=list(types))
    return UninterruptedQueue(streams=streams, jobs=jobs, outages=outages, pause_after=pause_after)


@asynccontextmanager
async def event_log(
    settings: Settings, *, application: str, outages: Outages, patience: float | None = None
) -> AsyncIterator[PostgresEventLog]:
    """The log, whose readers are woken after each append."""
    name = f"jobledger {application}"
    async with (
        AppendNotifier(settings.database_url, application=name, outages=outages) as notifier,
        PostgresEventLog(
            settings.database_url,
            application=f"{name} log",
            patience=patience,
            wake_ups=notifier,
            outages=outages,
        ) as log,
    ):
        yield _armed(log, settings)


def pool(settings: Settings, *, application: str, size: int) -> Pool:
    """A closed pool of connections for single statements."""
    return make_pool(settings.database_url, size=size, application=f"jobledger {application}")


def new_job_id() -> str:
    """A UUID of version 7 (RFC 9562): a month's jobs lie together in every index."""
    return str(uuid_utils.uuid7())


def _armed(port: PortT, settings: Settings) -> PortT:
    """The port; in a fault test of this service, one that ends the process at the place that KILL_AT names."""
    if not settings.kill_at:
        return port
    from entrypoints.kill_points import armed

    return armed(port, settings.kill_at)
