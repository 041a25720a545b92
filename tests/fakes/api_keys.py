"""API keys in memory."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from commands.api_keys import ApiKey
from commands.key_ring import KeyRing
from commands.ports import Unavailable
from domain.api_key import KeyScope


def ring_over(keys: FakeApiKeys) -> KeyRing:
    """A ring on which they are; with no key it lets everyone in."""
    ring = KeyRing(keys)
    with suppress(StopIteration):
        ring.renew().send(None)  # to its end: nothing here waits
    return ring


class FakeApiKeys:
    """Implements commands.api_keys.ApiKeys. While `is_away`, nothing can be asked."""

    def __init__(self) -> None:
        self.is_away = False
        self.kept: dict[str, ApiKey] = {}
        self._time = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)

    async def all(self) -> list[ApiKey]:
        """See ApiKeys.all."""
        self._require_there()
        return list(self.kept.values())

    async def add(self, name: str, *, scope: KeyScope, digest: bytes, by: str) -> bool:
        """See ApiKeys.add."""
        self._require_there()
        if name in self.kept:
            return False
        self.kept[name] = ApiKey(name=name, scope=scope, digest=digest, created_at=self._now(), created_by=by)
        return True

    async def revoke(self, name: str, *, by: str) -> bool:
        """See ApiKeys.revoke."""
        self._require_there()
        if name not in self.kept or self.kept[name].revoked_at is not None:
            return False
        self.kept[name] = replace(self.kept[name], revoked_at=self._now(), revoked_by=by)
        return True

    async def used(self, names: Collection[str]) -> None:
        """See ApiKeys.used."""
        self._require_there()
        for name in names:
            if self.kept[name].revoked_at is None:
                self.kept[name] = replace(self.kept[name], last_used_at=self._now())

    def _now(self) -> datetime:
        self._time += timedelta(milliseconds=1)
        return self._time

    def _require_there(self) -> None:
        if self.is_away:
            raise Unavailable("PostgreSQL is away", dependency="PostgreSQL")
