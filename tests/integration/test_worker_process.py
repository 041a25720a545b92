"""The process of a worker as a whole, run in this one, where single parts of it can be broken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.redis.claim_queue import RedisClaimQueue
from commands.ports import QueueEntry
from entrypoints import worker
from entrypoints.settings import Settings


async def test_a_worker_that_an_unforeseen_error_ended_does_not_stay_as_a_process(
    postgres_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(self: RedisClaimQueue, count: int, block_seconds: float) -> list[QueueEntry]:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(RedisClaimQueue, "read", read)
    settings = Settings(database_url=postgres_url, redis_url=redis_url, output_dir=tmp_path, shutdown_grace_seconds=1.0)
    with pytest.raises(RuntimeError, match="nobody foresaw this"):
        await asyncio.wait_for(worker.run(settings), 30)
