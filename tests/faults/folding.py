"""A projector in the middle of a page, held there by the lock of a row, to be hit with the checkpoint in its hands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.faults.cluster import PROJECTORS, Cluster


@contextmanager
def row_held(cluster: Cluster, job_id: str) -> Iterator[None]:
    """Hold the lock of a job's row: whoever folds its next event waits there, with the checkpoint's row in its hands."""
    cluster.until(lambda: bool(cluster.ask("select 1 from jobs where id = %s", job_id)))
    with psycopg.connect(cluster.postgres.url) as holder:
        holder.execute("select from jobs where id = %s for update", [job_id])
        yield


def until_folding(cluster: Cluster) -> str:
    """Wait until a projector is held up by a row; gives its name."""
    cluster.until(lambda: bool(_folding(cluster)))
    [port] = _folding(cluster)
    return cluster.owner_of_port(port, among=PROJECTORS)


def _folding(cluster: Cluster) -> list[int]:
    """The ports of the clients whose fold waits for a row."""
    rows = cluster.ask(
        "select client_port from pg_stat_activity where application_name = 'jobledger projector'"
        " and wait_event_type = 'Lock' and state = 'active'"
    )
    return [int(port) for (port,) in rows]
