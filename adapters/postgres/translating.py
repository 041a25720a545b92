"""Turns the driver's errors into those of commands.ports, once and for all adapters; the cause is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from commands.ports import LogDamaged, RejectedData, Unavailable

NAME = "PostgreSQL"  # as log lines call it

# SQLSTATE classes that speak of the data of a statement: 22 data exception, 23 integrity constraint violation,
# 54 program limit exceeded (PostgreSQL documentation, appendix A).
_DATA_CLASSES = ("22", "23", "54")


def is_about_data(exc: psycopg.Error) -> bool:
    """Whether the statement itself is refused, so that sending it again cannot help."""
    return exc.sqlstate is not None and exc.sqlstate[:2] in _DATA_CLASSES


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise Unavailable, RejectedData or LogDamaged for what psycopg raises inside; `doing` begins their texts."""
    try:
        yield
    except (PoolTimeout, PoolClosed, TooManyRequests) as exc:
        raise Unavailable(f"{doing}: no connection to PostgreSQL is free or can be made", dependency=NAME) from exc
    except errors.LockNotAvailable as exc:
        raise Unavailable(f"{doing}: the log is busy", dependency=NAME) from exc
    except psycopg.Error as exc:
        if is_about_data(exc):
            raise RejectedData(f"{doing}: {exc}") from exc
        if isinstance(exc, (errors.DataCorrupted, errors.IndexCorrupted)):
            raise LogDamaged(f"{doing}: {exc}") from exc
        # What remains is the server's state (connections, memory, shutdown, disk, schema): it may heal without us.
        raise Unavailable(f"{doing}: {str(exc).strip() or type(exc).__name__}", dependency=NAME) from exc
