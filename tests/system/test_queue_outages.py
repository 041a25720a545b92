"""The queue is emptied or damaged while nothing goes on: it is made again, and every job ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.system.service import Service

_DAMAGE: dict[str, Callable[[redis.Redis], Any]] = {
    "flushall": lambda client: client.flushall(),
    "del of one stream": lambda client: client.delete("high_priority"),
    "del of the other stream": lambda client: client.delete("default"),
    "destroying one group": lambda client: client.xgroup_destroy("default", "workers"),
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_queued_jobs_of_an_idle_system_end_after(shared: Service, damage: str) -> None:
    before = shared.post_many(5, "NOOP") + shared.post_many(5, "NOOP", priority="high")
    shared.until_queued(*before)
    _DAMAGE[damage](shared.redis)
    shared.start("worker")
    shared.until_ended(*before)

    # Now it waits in a blocked read, which the same damage cuts off.
    _DAMAGE[damage](shared.redis)
    after = shared.post_many(3, "NOOP") + shared.post_many(3, "NOOP", priority="high")
    shared.until_ended(*after)
    for job_id in before + after:
        assert shared.history(job_id) == ["Created", "Started", "Completed"]
    shared.stop("worker")
