"""The schema: applied by numbered migrations, forward only, and waited for by the processes that need it.

Two releases run side by side while one takes the other's place. So a migration says which older releases' processes go on
working with it, by a line such as `-- Serves releases from 0003 on.`: those that know migration 0003. Without one it serves
no older ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from importlib import resources

import structlog
from msgspec import Struct
from psycopg import AsyncConnection, errors
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from adapters.postgres.connecting import connection_string
from adapters.postgres.roles import give_privileges, make_roles
from adapters.postgres.translating import translated
from commands.ports import Unavailable
from domain.errors import JobledgerError

_LOCK = 7310592052  # any constant that nobody else in this database uses; not the log's
# Seconds between two looks at a schema that does not fit yet: at first few, and not in step with other processes.
_PAUSES = wait_random_exponential(multiplier=0.1, max=1.0)

_SERVES = re.compile(rb"^-- Serves releases from (\d{4}) on\.$", re.MULTILINE)

log = structlog.get_logger()


class SchemaMismatch(JobledgerError):
    """The database's schema is not one that this release can bring forward, or work with."""

    code = "schema_mismatch"


class MayNotMigrate(JobledgerError):
    """The role lacks a right that migrating takes."""

    code = "may_not_migrate"


class Applied(Struct, frozen=True):
    """What the database knows of a migration; `serves` is None where a release applied it that did not say."""

    name: str
    checksum: str
    serves: int | None


class Migration(Struct, frozen=True):
    """One file of sql/migrations, such as 0001_log.sql: version 1, name "log"."""

    version: int
    name: str
    statements: bytes

    @property
    def serves(self) -> int:
        """The version that a release must know at least to go on working with this one."""
        said = _SERVES.search(self.statements)
        return self.version if said is None else int(said[1])

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.statements).hexdigest()


def known_migrations() -> list[Migration]:
    """This release's migrations, in order."""
    files = (resources.files("sql") / "migrations").iterdir()
    named = ((file, re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)) for file in files)
    found = [Migration(int(name[1]), name[2], file.read_bytes()) for file, name in named if name]
    return sorted(found, key=lambda migration: migration.version)


async def migrate(
    database_url: str,
    transitions: Iterable[tuple[str, str]],
    *,
    service_url: str | None = None,
    migrations: list[Migration] | None = None,
) -> list[str]:
    """Bring the schema to this release's and the table `transitions` to what is given; answer what was applied.

    With `service_url`, `database_url` is the owner's: the role that the processes log in as is made where it is missing, and
    given what it needs and no more. Without it, one role does all, and whoever had rights keeps them.

    Each migration is one transaction and is applied once; several callers at a time take turns. A newer schema that serves
    this release is left as it is. Raises SchemaMismatch if it does not, or an applied migration has been changed since;
    Unavailable if the database cannot be reached; NoConnectionString; MayNotMigrate; RolesMissing; NotSeparate; and what else
    PostgreSQL says of the migrations themselves, as it comes.
    """
    known = known_migrations() if migrations is None else migrations
    try:
        return await _migrate(database_url, frozenset(transitions), service_url=service_url, known=known)
    except errors.InsufficientPrivilege as exc:
        raise MayNotMigrate(
            f"{str(exc).splitlines()[0]}: it takes the owner of the tables, or of the database while there are none"
            " (DATABASE_OWNER_URL, or where that is empty DATABASE_URL)"
        ) from exc


async def _migrate(
    database_url: str, wanted: frozenset[tuple[str, str]], *, service_url: str | None, known: list[Migration]
) -> list[str]:
    applied: list[str] = []
    async with await _connect(database_url) as db:
        # Of the session: it must span several transactions. It ends with the connection.
        await db.execute("select pg_advisory_lock(%s)", [_LOCK])
        await db.execute(
            "create table if not exists schema_migrations (version int primary key, name text not null,"
            " checksum text not null, applied_at timestamptz not null default clock_timestamp(), serves int)"
        )
        recorded = await _recorded(db)
        pending = _pending(known, recorded)
        if recorded.keys() - {migration.version for migration in known}:
            return []
        login = None if service_url is None else await make_roles(db, service_url)
        await db.execute("alter table schema_migrations add column if not exists serves int")
        for migration in pending:
            async with db.transaction():
                await db.execute(migration.statements)
                await db.execute(
                    "insert into schema_migrations (version, name, checksum, serves) values (%s, %s, %s, %s)",
                    [migration.version, migration.name, migration.checksum, migration.serves],
                )
                if migration is pending[-1]:  # nobody must see the new schema with the old transitions and rights
                    await _finish(db, wanted, login)
            applied.append(f"{migration.version:04}_{migration.name}")
        if not pending:
            async with db.transaction():
                await _finish(db, wanted, login)
    return applied


async def _finish(db: AsyncConnection, transitions: frozenset[tuple[str, str]], login: str | None) -> None:
    await _write_transitions(db, transitions)
    if login is not None:
        await give_privileges(db, login)


async def _connect(database_url: str) -> AsyncConnection:
    with translated("the database cannot be reached"):
        # Not by `connect`: a migration takes the time that it takes, and is several statements in one.
        return await AsyncConnection.connect(
            connection_string(database_url, application="jobledger migrate", reads_whole_tables=True), autocommit=True
        )


async def schema_fits(connection: AsyncConnection, transitions: Iterable[tuple[str, str]]) -> bool:
    """Whether this release's migrations and transitions are there, and newer ones serve it. Raises SchemaMismatch if that
    will never be."""
    row = await (await connection.execute("select to_regclass('schema_migrations') is not null")).fetchone()
    if row is None or not row[0]:
        return False
    if _pending(known_migrations(), await _recorded(connection)):
        return False
    return frozenset(transitions) <= await _read_transitions(connection)


async def schema_is_newer(connection: AsyncConnection) -> bool:
    """Whether a newer release has changed the schema, be it that it still serves this one."""
    ours = {migration.version for migration in known_migrations()}
    return bool((await _recorded(connection)).keys() - ours)


async def wait_for_schema(database_url: str, transitions: Iterable[tuple[str, str]]) -> None:
    """Return as soon as the database answers and its schema fits; says in the log what it waits for, once, and when it is there.

    Raises SchemaMismatch for a schema that waiting cannot make fit; NoConnectionString.
    """
    wanted = frozenset(transitions)
    began = asyncio.get_running_loop().time()
    said: list[type[BaseException]] = []

    def say(state: RetryCallState) -> None:
        problem = state.outcome.exception() if state.outcome else None
        if problem is not None and type(problem) not in said:
            said.append(type(problem))
            log.info("waiting for the database", problem=" ".join(str(problem).split()))

    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((Unavailable, _NoSchemaYet)), wait=_PAUSES, before_sleep=say
    ):
        with attempt:
            async with await _connect(database_url) as db:
                if not await _is_there(db, wanted):
                    raise _NoSchemaYet("its schema is not there yet: `jobledger migrate` makes it")
    if said:
        waited = asyncio.get_running_loop().time() - began
        log.info("the database is there", waited_seconds=round(waited, 3))


class _NoSchemaYet(Exception):
    """The database answers, and somebody has to migrate it."""


async def _is_there(db: AsyncConnection, wanted: frozenset[tuple[str, str]]) -> bool:
    with translated("look at the schema"):
        return await schema_fits(db, wanted)


def _pending(known: list[Migration], recorded: dict[int, Applied]) -> list[Migration]:
    ours = {migration.version: migration for migration in known}
    newest = max(ours, default=0)
    for version, applied in recorded.items():
        migration = ours.get(version)
        if migration is None:
            if version > newest and applied.serves is not None and applied.serves <= newest:
                continue
            raise SchemaMismatch(
                f"the database has migration {version:04}_{applied.name}, which this release does not know: it is of a newer"
                " release, and does not serve this one"
            )
        if migration.checksum != applied.checksum:
            raise SchemaMismatch(
                f"migration {version:04}_{applied.name} was applied with other contents than this release has:"
                " an applied migration must never be changed; add a new one"
            )
    pending = [migration for migration in known if migration.version not in recorded]
    if pending and recorded and pending[0].version < max(recorded):
        first = pending[0]
        raise SchemaMismatch(f"migration {first.version:04}_{first.name} is missing below ones that were applied")
    return pending


async def _recorded(db: AsyncConnection) -> dict[int, Applied]:
    # By way of json, as the column is not there where an older release made the table.
    cursor = await db.execute(
        "select version, name, checksum, (to_jsonb(m) ->> 'serves')::int from schema_migrations m order by version"
    )
    return {version: Applied(name, checksum, serves) for version, name, checksum, serves in await cursor.fetchall()}


async def _read_transitions(db: AsyncConnection) -> frozenset[tuple[str, str]]:
    cursor = await db.execute("select before, after from transitions")
    return frozenset((before, after) for before, after in await cursor.fetchall())


async def _write_transitions(db: AsyncConnection, wanted: frozenset[tuple[str, str]]) -> None:
    there = await _read_transitions(db)
    cursor = db.cursor()
    for pair in sorted(there - wanted):
        await cursor.execute("delete from transitions where before = %s and after = %s", pair)
    for pair in sorted(wanted - there):
        await cursor.execute("insert into transitions (before, after) values (%s, %s)", pair)
