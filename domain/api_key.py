"""API keys: how they are named, what each may do, and what is kept of a token. They are no facts about jobs, so no events."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Literal, get_args

from domain.errors import JobledgerError

KeyScope = Literal["read", "submit", "operate"]

SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)  # each may do what those before it may
TOKEN_PREFIX = "jl_"  # so that those who search for secrets in texts recognise one  # noqa: S105
# The actors of what happens without a key: a key of that name would pass for somebody else in the log.
RESERVED_NAMES = frozenset({"anonymous", "operator"})

ALLOWED = "1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class InvalidKeyName(JobledgerError):
    """A text that no key may be called by."""

    code = "invalid_key_name"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name[:80]!a} can be no key's name: {problem}")
        self.name = name


def checked_key_name(name: str) -> str:
    """The name. Raises InvalidKeyName."""
    if not _NAME.fullmatch(name):
        raise InvalidKeyName(name, f"a name has {ALLOWED}")
    if name in RESERVED_NAMES:
        raise InvalidKeyName(name, "the log calls those by it who come without a key")
    return name


def allows(held: KeyScope, needed: KeyScope) -> bool:
    """Whether a key of the scope `held` may do what takes `needed`."""
    return SCOPES.index(held) >= SCOPES.index(needed)


def digest_of(token: bytes) -> bytes:
    """What is kept of a token. Tokens are random and long, so one digest without salt is enough: none can be guessed."""
    return sha256(token).digest()
