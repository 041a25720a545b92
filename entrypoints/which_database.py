"""Which database a command is to look at: DATABASE_URL's, or that of the `jobledger up` that runs here."""

from __future__ import annotations

from domain.errors import JobledgerError
from entrypoints.settings import Settings


class NoDatabase(JobledgerError):
    """Nothing says which database is meant."""

    code = "no_database"


def database_of(settings: Settings) -> str:
    """The URL of the database. Raises NoDatabase."""
    if settings.database_url:
        return settings.database_url
    from adapters.embedded.postgres import running_postgres_url

    url = running_postgres_url(settings.data_dir)
    if url is None:
        raise NoDatabase(
            f"DATABASE_URL is not set, and no `jobledger up` of this user runs on DATA_DIR {settings.data_dir}:"
            " set the one, or start the other"
        )
    return url


def database_of_owner(settings: Settings) -> str:
    """The same for what needs the owner's rights: as the owner, where that is a role of its own. Raises NoDatabase."""
    return settings.database_owner_url or database_of(settings)
