"""How connections to PostgreSQL are made: time-outs on everything, so that a silent server is noticed."""

from __future__ import annotations

from typing import Any, TypedDict

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool


class _Kind(TypedDict):
    autocommit: bool
    prepare_threshold: int


# Autocommit: each statement is a transaction of its own. Statements are prepared from their first use: all of them are hot.
_KIND: _Kind = {"autocommit": True, "prepare_threshold": 0}

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,  # seconds
    # A peer that is gone is noticed after about 15 seconds: 5 idle, then 3 probes, and unacknowledged data for 15.
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
    "client_encoding": "UTF8",
}

_OPTIONS = (
    "-c TimeZone=UTC"
    " -c jit=off"  # statements of a millisecond are not worth compiling
    " -c client_connection_check_interval=1000"  # milliseconds: a call whose client is gone stops waiting for the log's lock
    " -c idle_in_transaction_session_timeout=10000"  # milliseconds: a stopped process holds no lock for longer
    " -c default_transaction_isolation=read\\ committed"
)

# The service's statements touch few rows each, of tables that grow for ever; but a plan made while a table is empty is kept, and
# reads all of it for as long as nobody has gathered statistics. Measured on a new database: 20,000 no-op jobs drained at 4,633,
# 2,992 and 2,239 a second, one run after the other. So the plans are those of large tables from the first job on.
_BY_INDEX = " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"


def connection_string(
    database_url: str, *, application: str, options: str = "", reads_whole_tables: bool = False
) -> str:
    """The URL (or key=value string) with our defaults filled in where it says nothing itself.

    Raises ValueError for a text that is no connection string.
    """
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as exc:
        raise ValueError(f"not a PostgreSQL connection string: {exc}") from exc
    merged = {**_DEFAULTS, "application_name": application, **given}
    planning = "" if reads_whole_tables else _BY_INDEX
    merged["options"] = f"{_OPTIONS}{planning} {options} {given.get('options', '')}".strip()
    return make_conninfo(**merged)


async def connect(
    database_url: str, *, application: str = "jobledger", options: str = "", reads_whole_tables: bool = False
) -> AsyncConnection[tuple[Any, ...]]:
    """Open a connection in autocommit. Raises psycopg.OperationalError.

    `reads_whole_tables`: for statements that do, such as an audit's; all others find their rows by index.
    """
    conninfo = connection_string(
        database_url, application=application, options=options, reads_whole_tables=reads_whole_tables
    )
    return await AsyncConnection.connect(conninfo, **_KIND)


def connect_in_thread(database_url: str, *, application: str = "jobledger") -> Connection[tuple[Any, ...]]:
    """The same for a thread that must not depend on the event loop."""
    return Connection.connect(connection_string(database_url, application=application), **_KIND)


def make_pool(
    database_url: str, *, size: int, application: str = "jobledger"
) -> AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]:
    """A closed pool (open it with `async with`) of at most `size` connections; a caller waits 3 seconds at most for one."""
    return AsyncConnectionPool(
        connection_string(database_url, application=application),
        kwargs=dict(_KIND),
        min_size=1,
        max_size=size,
        timeout=3.0,
        max_waiting=500,
        reconnect_timeout=10.0,
        open=False,
    )
