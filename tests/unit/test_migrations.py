"""The migrations as files: what two releases at a time rest on."""

from __future__ import annotations

from adapters.postgres.migrate import known_migrations


def test_migrations_are_numbered_without_gaps_and_doubles() -> None:
    migrations = known_migrations()

    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))


def test_each_migration_says_which_releases_it_serves() -> None:
    silent = [migration.name for migration in known_migrations()[3:] if b"\n-- Serves " not in migration.statements]

    assert silent == []
