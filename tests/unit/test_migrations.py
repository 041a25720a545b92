"""The migrations as files: what two releases at a time rest on."""

from __future__ import annotations

from adapters.postgres.migrate import known_migrations


def test_migrations_are_numbered_without_gaps_and_doubles() -> None:
    migrations = known_migrations()

    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
