"""What `commands.examination` judges: what was seen of an installation, as those who look at a server give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class PostgresFacts(Struct, frozen=True, kw_only=True):
    """What the server says of itself."""

    version: str
    version_number: int
    is_replica: bool
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    connections: int
    max_connections: int
    database_bytes: int
    clock_apart: float  # seconds by which its clock is ahead of this machine's
    oldest_transaction: float  # seconds; 0: there is none that can be seen
    slots: Sequence[tuple[str, bool, str | None, int]]  # name, whether it is active, wal_status, bytes that it keeps


class RedisFacts(Struct, frozen=True, kw_only=True):
    """What Redis says of itself."""

    name: str  # "Valkey 9.0.1"
    compatible_with: str  # the version of Redis
    is_cluster: bool
    role: str
    eviction_policy: str
    used_bytes: int
    max_bytes: int  # 0: no limit
    appends_to_file: bool
    saves: bool  # whether snapshots are configured
    write_problem: str  # "" or what went wrong when it last wrote to disk
    clock_apart: float
    log_id: str | None  # of the log that its queue was made from
    parked: Mapping[str, int]  # entries that wait for a worker which knows their type


class JobFacts(Struct, frozen=True, kw_only=True):
    """What the database says of jobs that may be stuck: how many, and one of them."""

    running_long: tuple[int, str | None]
    overdue: tuple[int, str | None]
    unclosed: tuple[int, str | None]  # run by a worker that is not registered (any more)
