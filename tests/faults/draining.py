"""Waiting until nothing is under way any more: what the judge wants to find after a run."""

from __future__ import annotations

import asyncio

import psycopg

from adapters.redis.connecting import connect
from adapters.redis.drained import RedisQueueAuditor
from domain.errors import Unavailable
from tests.until import until

# Of the table `jobs`, once it has caught up with the log: what is neither over nor waits for a time beyond `patience` seconds.
_LEFT = """
select l.head, c.position, d.relayed_position,
       (select count(*) from jobs where state not in ('Completed', 'Failed', 'Cancelled')
        and coalesce(due_at, 'epoch') < clock_timestamp() + make_interval(secs => %s))
from (select coalesce(max(position), 0) as head from events) l,
     (select position from checkpoints where name = 'jobs') c,
     (select relayed_position from dispatcher_lease) d
"""


async def until_drained(database_url: str, redis_url: str, *, within: float = 60.0) -> None:
    """Return when every job is over (or due after `within` seconds), the queue is empty, and everybody stands at the head.

    Servers that are away are waited for. Raises AssertionError, with what is left.
    """
    seen: list[object] = []

    async def is_drained() -> bool:
        seen[:] = []
        try:
            head, checkpoint, relayed, jobs = await asyncio.to_thread(_left, database_url, within)
            seen.append(f"head {head}, projector {checkpoint}, dispatcher {relayed}, jobs that are not over {jobs}")
            client = connect(redis_url, name="draining")
            try:
                remains = await RedisQueueAuditor(client).remains()
                seen.append(remains)
            finally:
                await client.aclose()
        except (psycopg.OperationalError, Unavailable) as exc:
            seen.append(exc)
            return False
        return head == checkpoint == relayed and jobs == 0 and not remains

    await until(is_drained, within=within, saw=lambda: seen)


def _left(database_url: str, patience: float) -> tuple[int, int, int, int]:
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        row = connection.execute(_LEFT, [patience]).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3]
