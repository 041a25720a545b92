"""`jobledger keys`: make, list and revoke the keys without which the API lets nobody in, once the first one is made."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter
from msgspec import Struct

from commands.api_keys import ApiKey, ApiKeys, create_key, revoke_key
from domain.api_key import KeyScope
from domain.moment import timestamp
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless, show_table

keys = App(
    name="keys",
    help="Make, list and revoke API keys. Without DATABASE_URL they are those of the `jobledger up` that runs on DATA_DIR.",
)


class KeyView(Struct, frozen=True, rename="camel"):
    """A key as programs are shown it."""

    name: str
    scope: KeyScope
    state: Literal["active", "revoked"]
    created_at: str
    created_by: str
    last_used_at: str | None
    revoked_at: str | None
    revoked_by: str | None


@keys.command(
    help_epilogue="Into a file that only its owner can read: `umask 077; jobledger keys create --name shop --scope submit > key`."
    " Example: `jobledger keys create --name shop --scope submit`"
)
def create(*, name: str, scope: KeyScope) -> int:
    """Make a key, and print its token: this once, as only its SHA-256 is kept. Clients send it as `Authorization: Bearer TOKEN`.

    From the first key on the API lets nobody in without one: within 5 seconds, and for ever, also when all are revoked.

    Exit codes: 0 made; 1 the name is taken or not allowed, or the database cannot be reached; 2 wrong usage.

    Parameters
    ----------
    name
        Who has the key. It is the actor of the events that are caused with it, and is given once.
    scope
        read: see everything. submit: also create jobs. operate: also cancel and retry them.
    """

    async def run(kept: ApiKeys) -> None:
        is_first = not await kept.all()
        token = await create_key(name, scope, by=_who(), keys=kept)
        put(f"{token}\n")
        sys.stdout.flush()
        sys.stderr.write(f"key {name} ({scope}) is made; its token is shown this once, and cannot be had again\n")
        if is_first:
            sys.stderr.write("it is the first: within 5 seconds the API lets nobody in any more without a key\n")

    return _run(run)


@keys.command(name="list", help_epilogue="Example: `jobledger keys list`")
def list_keys(*, format: Literal["table", "json", "ndjson"] = "table") -> int:
    """Show every key that was ever made, the oldest first: by whom, when, and when it was used last (to the minute or so).

    Exit codes: 0 shown; 1 the database cannot be reached; 2 wrong usage.

    Parameters
    ----------
    format
        A table for people; or one JSON document, or a line a key.
    """

    async def run(kept: ApiKeys) -> None:
        views = [_view(key) for key in await kept.all()]
        if format == "json":
            put(msgspec.json.format(msgspec.json.encode({"keys": views}), indent=2) + b"\n")
        elif format == "ndjson":
            put(b"".join(msgspec.json.encode(view) + b"\n" for view in views))
        elif views:
            show_table(_HEADS, map(_row, views))
        else:
            put("there is no key: the API lets everyone in\n")

    return _run(run)


@keys.command(help_epilogue="Example: `jobledger keys revoke shop`")
def revoke(name: Annotated[str, Parameter(allow_leading_hyphen=True)], /) -> int:
    """Revoke a key, for ever. Every API process refuses it within 5 seconds, and ends the event streams that it opened.

    Exit codes: 0 it is revoked, now or before; 1 there is none of that name, or the database cannot be reached; 2 wrong usage.

    Parameters
    ----------
    name
        Its name.
    """

    async def run(kept: ApiKeys) -> None:
        is_new = await revoke_key(name, by=_who(), keys=kept)
        put(
            f"key {name} is revoked: within 5 seconds it is refused everywhere\n"
            if is_new
            else f"key {name} was revoked before\n"
        )
        sys.stdout.flush()
        if all(key.revoked_at is not None for key in await kept.all()):
            sys.stderr.write("no key is left: the API lets nobody in until another one is made\n")

    return _run(run)


def _run(work: Callable[[ApiKeys], Coroutine[Any, Any, None]]) -> int:
    async def run(settings: Settings) -> None:
        async with _opened(settings) as kept:
            await work(kept)

    return run_reading(run)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[ApiKeys]:
    from adapters.postgres.api_keys import PostgresApiKeys
    from adapters.postgres.own_connection import OwnConnection, require_schema
    from entrypoints.which_database import database_of_owner

    async with OwnConnection(database_of_owner(settings), application="jobledger keys") as database:
        await require_schema(database)
        yield PostgresApiKeys(database)


def _who() -> str:
    """Who calls this, as the system knows him."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container with a user id of its own
        name = f"user {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


_HEADS = ("name", "scope", "state", "created at", "created by", "last used at", "revoked at", "revoked by")


def _row(view: KeyView) -> tuple[str, ...]:
    return (
        view.name,
        view.scope,
        view.state,
        view.created_at,
        harmless(view.created_by),
        view.last_used_at or "never",
        view.revoked_at or "",
        harmless(view.revoked_by or ""),
    )


def _view(key: ApiKey) -> KeyView:
    return KeyView(
        name=key.name,
        scope=key.scope,
        state="active" if key.revoked_at is None else "revoked",
        created_at=timestamp(key.created_at),
        created_by=key.created_by,
        last_used_at=None if key.last_used_at is None else timestamp(key.last_used_at),
        revoked_at=None if key.revoked_at is None else timestamp(key.revoked_at),
        revoked_by=key.revoked_by,
    )
