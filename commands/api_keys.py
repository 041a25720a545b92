"""API keys: make one, revoke one, look at them all. A name is given once and for ever, since the log's events carry it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.api_key import TOKEN_PREFIX, KeyScope, checked_key_name, digest_of
from domain.errors import JobledgerError

_ALPHABET = string.ascii_letters + string.digits  # a double click selects all of it
_LENGTH = 43  # characters: 43 × log2(62) = 256 bits


class KeyNameTaken(JobledgerError):
    """Another key has this name, or had it."""

    code = "key_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a key named {name} already, or was: a name is given once, as the log's events carry it"
        )
        self.name = name


class NoSuchKey(JobledgerError):
    """No key has this name."""

    code = "no_such_key"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no key named {name[:80]!a}")
        self.name = name


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it is kept: its token's SHA-256, never the token. `created_by`, `revoked_by`: who was at the command line."""

    name: str
    scope: KeyScope
    digest: bytes
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    last_used_at: datetime | None = None  # to the minute or so


class ApiKeys(Protocol):
    """Where keys are kept. None is ever removed."""

    async def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, the oldest first. Raises Unavailable."""

    async def add(self, name: str, *, scope: KeyScope, digest: bytes, by: str) -> bool:
        """Keep a new key; False, and nothing is done, if there is one of that name. Raises Unavailable."""

    async def revoke(self, name: str, *, by: str) -> bool:
        """Note that it is revoked, and by whom; False, and nothing is done, if it was, or there is none. Raises Unavailable."""

    async def used(self, names: Collection[str]) -> None:
        """Note that these were used just now. Raises Unavailable."""


def new_token() -> str:
    """A token that nobody can guess."""
    return TOKEN_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


async def create_key(name: str, scope: KeyScope, *, by: str, keys: ApiKeys) -> str:
    """Make a key; the answer is its token, which is kept nowhere. Raises InvalidKeyName, KeyNameTaken, Unavailable."""
    name = checked_key_name(name)
    token = new_token()
    if not await keys.add(name, scope=scope, digest=digest_of(token.encode("ascii")), by=by):
        raise KeyNameTaken(name)
    return token


async def revoke_key(name: str, *, by: str, keys: ApiKeys) -> bool:
    """Revoke a key; False: it was before. API processes hear of it when they read the keys again.

    Raises NoSuchKey, Unavailable.
    """
    if await keys.revoke(name, by=by):
        return True
    if name not in {key.name for key in await keys.all()}:
        raise NoSuchKey(name)
    return False
