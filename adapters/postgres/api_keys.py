"""API keys in their table of PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.api_keys import ApiKey
from domain.api_key import KeyScope


class PostgresApiKeys:
    """Implements commands.api_keys.ApiKeys over an open pool."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def all(self) -> list[ApiKey]:
        """See ApiKeys.all."""
        rows, _ = await self._execute("api_keys")
        return [
            ApiKey(
                name=name,
                scope=scope,
                digest=digest,
                created_at=created_at,
                created_by=created_by,
                revoked_at=revoked_at,
                revoked_by=revoked_by,
                last_used_at=last_used_at,
            )
            for name, scope, digest, created_at, created_by, revoked_at, revoked_by, last_used_at in rows
        ]

    async def add(self, name: str, *, scope: KeyScope, digest: bytes, by: str) -> bool:
        """See ApiKeys.add."""
        _, changed = await self._execute("add_api_key", name=name, scope=scope, digest=digest, by=by)
        return changed == 1

    async def revoke(self, name: str, *, by: str) -> bool:
        """See ApiKeys.revoke."""
        _, changed = await self._execute("revoke_api_key", name=name, by=by)
        return changed == 1

    async def used(self, names: Collection[str]) -> None:
        """See ApiKeys.used."""
        await self._execute("note_used_api_keys", names=sorted(names))

    async def _execute(self, question: str, **asked: Any) -> tuple[list[tuple[Any, ...]], int]:
        with translated(question.replace("_", " ")):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement(question), asked)
                return (await cursor.fetchall() if cursor.description else []), cursor.rowcount
