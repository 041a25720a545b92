"""The API keys as one process knows them: in memory, read again every second. No request waits for the database.

While no key was ever made, everyone is let in. From the first one on a request needs a key, also when all are revoked: whoever
revokes the last one wants nobody in. What is known is believed for `MAX_AGE` seconds, so that a process which cannot read the
keys any more does not let a revoked one in for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hmac import compare_digest

from commands.api_keys import ApiKey, ApiKeys
from commands.ports import Unavailable
from domain.api_key import KeyScope

READ_KEYS = "read the API keys"  # what outages know it by
RENEW_SECONDS = 1.0
MAX_AGE = 5.0  # seconds after which a revoked key is let in nowhere
USED_SECONDS = 60.0  # between two notes that keys were used: a write, however many requests there are
ANONYMOUS = "anonymous"  # the actor of requests without a key


class Caller:
    """Who asks; one object a key. `is_revoked` becomes true while he is being answered: endless answers look at it."""

    __slots__ = ("digest", "is_revoked", "name", "scope")

    def __init__(self, name: str, scope: KeyScope, digest: bytes = b"", *, is_revoked: bool = False) -> None:
        self.name = name
        self.scope = scope
        self.digest = digest
        self.is_revoked = is_revoked


class KeyRing:
    """Who is let in. `renew` is to be called every RENEW_SECONDS."""

    def __init__(self, keys: ApiKeys, *, now: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._now = now
        self._callers: dict[bytes, Caller] = {}
        self._anonymous = Caller(ANONYMOUS, "operate", is_revoked=True)
        self._read_at: float | None = None
        self._used: set[str] = set()
        self._noted_at = now()

    @property
    def open_to(self) -> Caller | None:
        """Whom everyone is let in as; None where keys are needed."""
        return None if self._anonymous.is_revoked else self._anonymous

    @property
    def is_stale(self) -> bool:
        """Whether keys are needed, and those that are known too old to be believed."""
        return self._anonymous.is_revoked and (self._read_at is None or self._now() - self._read_at >= MAX_AGE)

    def find(self, digest: bytes) -> Caller | None:
        """Whose token has that digest; he may be revoked. Raises Unavailable if nobody can tell."""
        if self.is_stale:
            raise Unavailable("the API keys cannot be read", dependency="PostgreSQL")
        caller = self._callers.get(digest)
        # What a look into a table takes tells nothing of a token, of whose digest nobody can choose the bytes; and yet.
        if caller is None or not compare_digest(caller.digest, digest):
            return None
        if not caller.is_revoked:
            self._used.add(caller.name)
        return caller

    async def renew(self) -> None:
        """Read the keys. Raises Unavailable; what was known before holds until it is too old."""
        asked_at = self._now()  # not when the answer came: a key may have been revoked on its way
        kept = await self._keys.all()
        for key in kept:
            caller = self._callers.get(key.digest)
            if caller is None:
                self._callers[key.digest] = _caller(key)
            elif key.revoked_at is not None:
                caller.is_revoked = True
        gone = self._callers.keys() - {key.digest for key in kept}
        for digest in gone:  # nothing removes a key but a restored database
            self._callers.pop(digest).is_revoked = True
        was_read = self._read_at is not None
        # It is open only from the beginning, and only until the first key: never again afterwards.
        if kept:
            self._anonymous.is_revoked = True
        elif not was_read:
            self._anonymous.is_revoked = False
        self._read_at = asked_at
        await self._note_used(asked_at)

    async def _note_used(self, now: float) -> None:
        if self._used and now - self._noted_at >= USED_SECONDS:
            names, self._used = self._used, set()
            self._noted_at = now
            await self._keys.used(names)


def _caller(key: ApiKey) -> Caller:
    return Caller(key.name, key.scope, key.digest, is_revoked=key.revoked_at is not None)
