"""The one place that connects ports to adapters, from the settings. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uuid_utils
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.job_types.registry import load_job_types
from adapters.job_types.runner import JobTypeRunner
from adapters.postgres.connecting import make_pool
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.wake_ups import AppendNotifier
from adapters.redis.claim_queue import RedisClaimQueue
from domain.job_type import JobType
from domain.retry import RetryPolicy
from entrypoints.settings import Settings

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]

# Seconds that a process of its own has to end after it was told to stop, before it is killed.
KILL_AFTER = 5.0


def settings_for_job_types(settings: Settings) -> dict[str, Any]:
    """The settings as job types are given them: NAME in capitals to a plain text, number or boolean."""
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return plain


def job_types(settings: Settings) -> dict[str, JobType]:
    """All installed job types by name. Raises UnusableJobType."""
    return load_job_types(settings_for_job_types(settings))


def job_type_runner(settings: Settings, types: Mapping[str, JobType], *, threads: Executor) -> JobTypeRunner:
    """What runs the code of attempts; `threads` has one for each slot."""
    return JobTypeRunner(
        types,
        threads=threads,
        settings=settings_for_job_types(settings),
        result_max_bytes=settings.result_max_bytes,
        kill_after=KILL_AFTER,
    )


def retry_policy(settings: Settings) -> RetryPolicy:
    """How long to wait between attempts."""
    return RetryPolicy(base=settings.retry_base_seconds, cap=settings.retry_max_seconds)


def claim_queue(settings: Settings, types: Mapping[str, JobType], worker: str) -> RedisClaimQueue:
    """The reading end of the queue for a worker of that name."""
    return RedisClaimQueue(settings.redis_url, worker_id=worker, job_types=list(types))


@asynccontextmanager
async def event_log(
    settings: Settings, *, application: str, patience: float | None = None
) -> AsyncIterator[PostgresEventLog]:
    """The log, whose readers are woken after each append."""
    name = f"jobledger {application}"
    async with (
        AppendNotifier(settings.database_url, application=name) as notifier,
        PostgresEventLog(
            settings.database_url, application=f"{name} log", patience=patience, on_appended=notifier.notify
        ) as log,
    ):
        yield log


def pool(settings: Settings, *, application: str, size: int) -> Pool:
    """A closed pool of connections for single statements."""
    return make_pool(settings.database_url, size=size, application=f"jobledger {application}")


def new_job_id() -> str:
    """A UUID of version 7 (RFC 9562): a month's jobs lie together in every index."""
    return str(uuid_utils.uuid7())
