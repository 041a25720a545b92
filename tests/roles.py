"""A database whose owner, service and readers are roles of their own, as `jobledger migrate` makes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from msgspec import Struct
from psycopg import sql


class RoleUrls(Struct, frozen=True):
    """The same database for each of them. The owner may make roles, and is no superuser; the service is yet to be made."""

    superuser: str
    owner: str
    service: str
    reader: str


@contextmanager
def database_of_an_owner(superuser_url: str) -> Iterator[RoleUrls]:
    """Hand an empty database over to an owner, and take away afterwards what belongs to the whole server."""
    name = urlsplit(superuser_url).path[1:]
    owner, service, reader = (f"{name}_{who}" for who in ("own'er", "log in", "auditor"))
    with psycopg.connect(superuser_url, autocommit=True) as db:
        db.execute(sql.SQL("create role {} login createrole password 'owner'").format(sql.Identifier(owner)))
        db.execute(sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), sql.Identifier(owner)))
    try:
        yield RoleUrls(
            superuser=superuser_url,
            owner=as_role(superuser_url, owner, "owner"),
            service=as_role(superuser_url, service, "it's service"),
            reader=as_role(superuser_url, reader, "reader"),
        )
    finally:
        with psycopg.connect(superuser_url, autocommit=True) as db:
            db.execute(sql.SQL("alter database {} owner to jobledger").format(sql.Identifier(name)))
            for role in (owner, service, reader, f"{name}_service", f"{name}_reader"):
                if db.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None:
                    db.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(role)))
                    db.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def make_reader(urls: RoleUrls) -> None:
    """What docs/database-roles.md tells an operator to do for somebody who reads."""
    name, reader = urlsplit(urls.superuser).path[1:], user_of(urls.reader)
    with psycopg.connect(urls.owner, autocommit=True) as db:
        db.execute(sql.SQL("create role {} login password 'reader'").format(sql.Identifier(reader)))
        db.execute(sql.SQL("grant {} to {}").format(sql.Identifier(f"{name}_reader"), sql.Identifier(reader)))


def as_role(url: str, user: str, password: str) -> str:
    """The URL with another user."""
    parts = urlsplit(url)
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=netloc))


def user_of(url: str) -> str:
    """Whom a URL logs in as."""
    return unquote(urlsplit(url).username or "")
