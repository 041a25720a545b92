"""How well the work went on: the longest time without any, and how soon after each fault there was some again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg

from tests.faults.faults_log import Fault

# Work is there while a job is queued or runs; it goes on where an attempt starts or ends. The gap to an event counts if there was
# work all the time since the event before it.
_LONGEST_STALL = """
with steps as (
    select position, recorded_at, type,
           lag(type) over (partition by job_id order by version) as before,
           type = 'Created' and (data ->> 'delay' is not null or data ->> 'runAt' is not null) as waits
    from events
),
counted as (
    select position, recorded_at, type,
           sum(case when type in ('Created', 'Queued') and not waits then 1
                    when type in ('Attempted', 'Completed', 'Failed') then -1
                    when type = 'Cancelled' and before in ('Created', 'Queued', 'CancelRequested') then -1
                    else 0 end) over (order by position) as open
    from steps
),
moved as (
    select recorded_at, lag(recorded_at) over (order by position) as moved_at, lag(open) over (order by position) as open_before
    from counted
)
select extract(epoch from max(recorded_at - moved_at) filter (where open_before > 0))::float8 from moved
"""
_NEXT_COMPLETED = """
select extract(epoch from (
    select min(recorded_at) from events where type = 'Completed' and recorded_at >= to_timestamp(%s)
))::float8
"""


def longest_stall(connection: psycopg.Connection) -> float | None:
    """The longest time, in seconds of the log's clock, in which nothing at all happened though a job was queued or running."""
    row = connection.execute(_LONGEST_STALL).fetchone()
    return None if row is None else row[0]


def recoveries(connection: psycopg.Connection, faults: Iterable[Fault]) -> list[float]:
    """For each fault, the seconds from its healing to the next job that was completed; none where no job was completed since."""
    found = []
    for fault in faults:
        row = connection.execute(_NEXT_COMPLETED, [fault.healed]).fetchone()
        if row is not None and row[0] is not None:
            found.append(row[0] - fault.healed)
    return found


def spread(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    """Median, 95th percentile and maximum; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)], ordered[-1]
