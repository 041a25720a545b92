"""Every table and function of the migrations has its line in the list of who may do what."""

from __future__ import annotations

import re
from importlib.resources import files

_GIVEN = files("sql").joinpath("queries", "give_privileges.sql").read_text()
_MIGRATIONS = "\n".join(
    file.read_text() for file in files("sql").joinpath("migrations").iterdir() if file.name.endswith(".sql")
)


def test_every_table_says_what_the_service_and_readers_may_do_with_it() -> None:
    tables = set(
        re.findall(r"^create (?:unlogged )?table (?:if not exists )?(\w+)", _MIGRATIONS, re.MULTILINE | re.IGNORECASE)
    )
    listed = set(re.findall(r"^ +\('(\w+)', '", _GIVEN, re.MULTILINE))
    assert listed - {"schema_migrations"} == tables, (
        "sql/queries/give_privileges.sql has no line for a table, or one too many"
    )
