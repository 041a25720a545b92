"""How connections to PostgreSQL are made: time-outs on everything, so that a silent server is noticed."""

from __future__ import annotations

from typing import Any, TypedDict, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from domain.errors import JobledgerError

# Seconds that a statement may take. The longest, an append, waits for the log's lock for 5 and then writes a batch; none of the
# others takes a tenth of it. Without a bound a network that swallows everything (and a proxy in it may acknowledge what TCP
# asks) would be waited for for ever.
REPLY_SECONDS = 10.0
# A heartbeat is a look at one row, and must find another connection before its worker is given up.
BEAT_REPLY_SECONDS = 4.0


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

READ_ONLY = "-c default_transaction_read_only=on"  # one of `options`, for connections that only look

_OPTIONS = (
    "-c TimeZone=UTC"
    " -c jit=off"  # statements of a millisecond are not worth compiling
    " -c client_connection_check_interval=1000"  # milliseconds: a call whose client is gone stops waiting for the log's lock
    " -c idle_in_transaction_session_timeout=10000"  # milliseconds: a stopped process holds no lock for longer
    # The server's side of the same: a client that vanished gives back its connection after about 15 seconds, not two hours.
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
    " -c default_transaction_isolation=read\\ committed"
)

# The service's statements touch few rows each, of tables that grow for ever; but a plan made while a table is empty is kept, and
# reads all of it for as long as nobody has gathered statistics. Measured on a new database: 20,000 no-op jobs drained at 4,633,
# 2,992 and 2,239 a second, one run after the other. So the plans are those of large tables from the first job on.
# Without bitmaps, since what is wanted in an index's order is then read in it, a page of it, and not all of it and sorted.
_BY_INDEX = " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off"


class NoConnectionString(JobledgerError, ValueError):
    """The text that should say where the database is cannot be read."""

    code = "no_connection_string"


def connection_string(
    database_url: str, *, application: str, options: str = "", reads_whole_tables: bool = False
) -> str:
    """The URL (or key=value string) with our defaults filled in where it says nothing itself.

    Raises NoConnectionString.
    """
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as exc:
        raise NoConnectionString(f"DATABASE_URL is not a PostgreSQL connection string: {exc}") from exc
    merged = {**_DEFAULTS, "application_name": application, **given}
    planning = "" if reads_whole_tables else _BY_INDEX
    merged["options"] = f"{_OPTIONS}{planning} {options} {given.get('options', '')}".strip()
    if READ_ONLY in options and merged.get("target_session_attrs") == "read-write":
        # A session that only reads is never that, so no server would be good enough. What is meant is the one that leads.
        merged["target_session_attrs"] = "primary"
    return make_conninfo(**merged)


_Result = TypeVar("_Result")


class BoundedConnection(AsyncConnection[tuple[Any, ...]]):
    """A connection on which a statement that takes longer than `reply_seconds` (None: no bound) finds the server lost.

    The connection is closed then, and whether the statement took effect is unknown, as after any cut.
    """

    reply_seconds: float | None = REPLY_SECONDS

    async def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """As the driver's own. A time-out that the driver itself asks for is its business."""
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, self.reply_seconds)
        except psycopg.errors._WaitTimeout as exc:  # noqa: SLF001 - the driver has no public name for it
            self.pgconn.finish()
            raise _no_answer(self.reply_seconds) from exc


class BoundedThreadConnection(Connection[tuple[Any, ...]]):
    """The same for a thread."""

    reply_seconds: float | None = BEAT_REPLY_SECONDS

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """See BoundedConnection.wait."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.reply_seconds)
        except psycopg.errors._WaitTimeout as exc:  # noqa: SLF001 - as above
            self.pgconn.finish()
            raise _no_answer(self.reply_seconds) from exc


def _no_answer(seconds: float | None) -> psycopg.OperationalError:
    return psycopg.OperationalError(f"the server has not answered for {seconds:g} seconds")


async def connect(
    database_url: str,
    *,
    application: str = "jobledger",
    options: str = "",
    reads_whole_tables: bool = False,
    reply_seconds: float | None = REPLY_SECONDS,
) -> AsyncConnection[tuple[Any, ...]]:
    """Open a connection in autocommit. Raises psycopg.OperationalError.

    `reads_whole_tables`: for statements that do, such as an audit's, and take their time; all others find their rows by index.
    """
    conninfo = connection_string(
        database_url, application=application, options=options, reads_whole_tables=reads_whole_tables
    )
    connection = await BoundedConnection.connect(conninfo, **_KIND)
    connection.reply_seconds = None if reads_whole_tables else reply_seconds
    return connection


def connect_in_thread(database_url: str, *, application: str = "jobledger") -> BoundedThreadConnection:
    """The same for a thread that must not depend on the event loop."""
    return BoundedThreadConnection.connect(connection_string(database_url, application=application), **_KIND)


def make_pool(
    database_url: str, *, size: int, application: str = "jobledger"
) -> AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]:
    """A closed pool (open it with `async with`) of at most `size` connections; a caller waits 3 seconds at most for one."""
    return AsyncConnectionPool(
        connection_string(database_url, application=application),
        connection_class=BoundedConnection,
        kwargs=dict(_KIND),
        min_size=1,
        max_size=size,
        timeout=3.0,
        max_waiting=500,
        reconnect_timeout=10.0,
        open=False,
    )
