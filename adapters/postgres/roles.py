"""Who may do what: the owner makes and changes the schema; the service appends and reads; readers only read.

The owner is whoever migrates. The other two are roles named after the database, `<database>_service` and `<database>_reader`. The
login of the service's processes is put into the first one; an operator puts people and reports into the second.
"""

from __future__ import annotations

from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.statements import load_statement
from domain.errors import JobledgerError


class RolesMissing(JobledgerError):
    """Roles have to be made, and the owner may not do that."""

    code = "roles_missing"


class NotSeparate(JobledgerError):
    """The service would have the owner's power, so it cannot be kept from anything."""

    code = "not_separate"


async def make_roles(db: AsyncConnection, service_url: str) -> str:
    """Make the roles that are missing; answer the name that the service's processes log in as.

    A login that is missing gets the password of `service_url`; one that is there keeps its own. Raises RolesMissing, with the
    statements that somebody else has to run; NotSeparate.
    """
    login, password = _who(service_url)
    if login is None:
        raise NotSeparate("DATABASE_URL names no user: it has to be another one than that of DATABASE_OWNER_URL")
    cursor = await db.execute(load_statement("missing_roles"), {"login": login})
    missing: list[tuple[str, bool]] = await cursor.fetchall()
    try:
        async with db.transaction():
            for statement, makes_login in missing:
                await db.execute((statement + (_password(db, login, password) if makes_login else "")).encode())
    except errors.InsufficientPrivilege as exc:
        wanted = "; ".join(
            f"{statement} password '(that of DATABASE_URL)'" if makes_login else statement
            for statement, makes_login in missing
        )
        raise RolesMissing(
            f"DATABASE_OWNER_URL may not make the roles that are missing ({str(exc).splitlines()[0]});"
            f" somebody who may has to run: {wanted};"
        ) from exc
    return login


async def give_privileges(db: AsyncConnection, login: str) -> None:
    """Give each role what it needs of this release's tables, and no more. Raises NotSeparate.

    To be done in the transaction that brings a schema.
    """
    try:
        await db.execute(load_statement("give_privileges"))
    except errors.InsufficientPrivilege as exc:
        raise NotSeparate(f"DATABASE_OWNER_URL cannot give the service its rights: {str(exc).splitlines()[0]}") from exc
    cursor = await db.execute(load_statement("service_excess"), {"login": login})
    excess = [sentence for (sentence,) in await cursor.fetchall()]
    if excess:
        raise NotSeparate(
            f"the role {login} of DATABASE_URL must not have the owner's power, but it {', '.join(excess)}"
        )


def _who(service_url: str) -> tuple[str | None, str | None]:
    given = conninfo_to_dict(service_url)
    user, password = given.get("user"), given.get("password")
    return (None if user is None else str(user)), (None if password is None else str(password))


def _password(db: AsyncConnection, login: str, password: str | None) -> str:
    if password is None:
        return ""
    # As the server keeps it, so that the password itself is in no statement, and so in no log of the server.
    verifier = db.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    return f" password {sql.Literal(verifier).as_string(db)}"
