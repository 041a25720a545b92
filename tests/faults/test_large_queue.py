"""Row 10: a queue so long that it is made again from the jobs that are queued, not from all that the log ever held.

`make recovery` does it with 100,000 jobs.
"""

from __future__ import annotations

import time
from pathlib import Path

import uuid_utils

from adapters.postgres.event_log import PostgresEventLog
from commands.ports import Append, Appended
from commands.relay_events import FAR_BEHIND
from domain.events import Created, NewEvent
from tests.system.service import Service

_JOBS = FAR_BEHIND + 2_000
_BACK_SECONDS = 15.0
_BATCH = 2_000


async def test_10_a_long_queue_that_redis_lost_is_back_in_seconds(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    await _append(postgres_url)
    with Service(tmp_path, postgres_url=postgres_url, redis_url=redis_url) as service:
        service.start("dispatcher", "projector")
        service.until(lambda: _length(service) == _JOBS, saw=lambda: _length(service))
        service.until(lambda: _lag(service) == 0, saw=lambda: _lag(service))

        began = time.monotonic()
        service.redis.flushall()
        service.until(lambda: _length(service) == _JOBS, saw=lambda: _length(service))
        took = time.monotonic() - began

        assert took < _BACK_SECONDS, took
        assert len({fields["job"] for _, fields in service.entries()}) == _JOBS
        assert service["dispatcher"].said("the queue is made again")


async def _append(database_url: str) -> None:
    created = Created(type="NOOP", priority="default", attempt=1, used=0, max_attempts=3)
    async with PostgresEventLog(database_url, application="tests") as log:
        for _ in range(_JOBS // _BATCH):
            batch = [Append(str(uuid_utils.uuid7()), 0, [NewEvent(created, b"{}")], "tests") for _ in range(_BATCH)]
            assert all(isinstance(answer, Appended) for answer in await log.append(batch))


def _length(service: Service) -> int:
    return int(str(service.redis.xlen("default")))


def _lag(service: Service) -> int:
    [(lag,)] = service.ask(
        "select (select max(position) from events) - (select position from checkpoints where name = 'jobs')"
    )
    return int(lag)
