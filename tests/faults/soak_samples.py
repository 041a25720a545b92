"""What a running cluster uses: one sample of every resource that must stay flat, and how much each may grow."""

from __future__ import annotations

from typing import Any

import psutil
from msgspec import Struct

from adapters.redis.names import MOVED, PARKED_STREAMS
from tests.faults.cluster import EVERYTHING, Cluster
from tests.faults.flatness import Bound

_MIB = 2.0**20
# 16 bytes a job at 200 jobs a second: an object left behind by every job is at least three times that.
_MEMORY = Bound(units=12.0, part=0.1)
_COUNT = Bound(units=4.0)  # an hour: one in a quarter of an hour
_ENTRIES = Bound(units=200.0)  # in an hour, of what comes and goes by the thousand in a minute
_BLOAT = Bound(part=0.1)
_SMALL_TABLE = Bound(units=256.0)  # KiB
_INDEX = Bound(units=1024.0, part=0.25)  # KiB

# What jobs and events take for ever is by design: of these, what each row takes. The tables of fixed size are taken whole, and so
# are the indexes of `jobs` over what is under way.
_TABLES = """
select pg_relation_size('jobs') / greatest(j.n_live_tup, 1)::float8,
       pg_total_relation_size('events') / greatest(e.n_live_tup, 1)::float8,
       (select sum(pg_relation_size(indexrelid))::float8 from pg_index where indrelid = j.relid and indpred is not null),
       pg_total_relation_size('workers')::float8,
       pg_total_relation_size('checkpoints')::float8,
       pg_total_relation_size('dispatcher_lease')::float8
from pg_stat_user_tables j, pg_stat_user_tables e
where j.relid = 'jobs'::regclass and e.relid = 'events'::regclass
"""
_SESSIONS = "select pid from pg_stat_activity where starts_with(application_name, 'jobledger')"


class Resource(Struct, frozen=True):
    """Its name, the unit of its values, and how flat it must be."""

    name: str
    unit: str
    bound: Bound


def resources() -> list[Resource]:
    """All of them, in the order of the values of a sample."""
    ours = [
        resource
        for name in EVERYTHING
        for resource in (
            Resource(f"{name}: memory", "MiB", _MEMORY),
            Resource(f"{name}: file descriptors", "", _COUNT),
        )
    ]
    return [
        *ours,
        Resource("PostgreSQL: connections of the service", "", _COUNT),
        Resource("PostgreSQL: memory of these sessions alone", "MiB", _MEMORY),
        Resource("PostgreSQL: jobs, heap per row", "bytes", _BLOAT),
        Resource("PostgreSQL: events, all per row", "bytes", _BLOAT),
        Resource("PostgreSQL: jobs, indexes over what is under way", "KiB", _INDEX),
        Resource("PostgreSQL: table workers", "KiB", _SMALL_TABLE),
        Resource("PostgreSQL: table checkpoints", "KiB", _SMALL_TABLE),
        Resource("PostgreSQL: table dispatcher_lease", "KiB", _SMALL_TABLE),
        Resource("Redis: connections", "", _COUNT),
        Resource("Redis: memory", "MiB", Bound(units=4.0, part=0.1)),
        Resource("Redis: entries in both streams", "", _ENTRIES),
        Resource("Redis: entries read and not acknowledged", "", _ENTRIES),
        Resource("Redis: keys, moved and parked entries", "", _COUNT),
    ]


def sample(cluster: Cluster) -> list[float]:
    """The value of each of `resources` now."""
    values: list[float] = []
    for name in EVERYTHING:
        process = psutil.Process(cluster[name].pid)
        values += [process.memory_info().rss / _MIB, float(process.num_fds())]
    return values + _of_postgres(cluster) + _of_redis(cluster)


def _of_postgres(cluster: Cluster) -> list[float]:
    pids = [pid for (pid,) in cluster.ask(_SESSIONS)]
    [(row, event, indexes, *small)] = cluster.ask(_TABLES)
    return [
        float(len(pids)),
        sum(_own_memory(pid) for pid in pids) / _MIB,
        *(float(row), float(event), indexes / 1024),
        *(size / 1024 for size in small),
    ]


def _own_memory(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_full_info().uss)
    except psutil.NoSuchProcess:  # a session that ended since
        return 0.0


def _of_redis(cluster: Cluster) -> list[float]:
    memory: Any = cluster.redis.info("memory")
    clients: Any = cluster.redis.client_list(_type="normal")
    keys: Any = cluster.redis.dbsize()
    moved: Any = cluster.redis.hlen(MOVED)
    parked: Any = cluster.redis.scard(PARKED_STREAMS)
    return [
        float(len(clients)),
        memory["used_memory"] / _MIB,
        float(cluster.queue_length()),
        float(cluster.pending()),
        float(keys + moved + parked),
    ]
