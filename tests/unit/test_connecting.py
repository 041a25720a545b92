"""How the text of a connection string becomes ours: what it says itself stays, and what it leaves open is filled in."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connecting import READ_ONLY, connection_string

SEVERAL = "postgresql://service@one,two:5433/jobs?target_session_attrs=read-write"


def test_what_it_says_itself_wins() -> None:
    made = conninfo_to_dict(connection_string("postgresql://one/jobs?connect_timeout=9", application="test"))
    assert (made["connect_timeout"], made["keepalives_idle"], made["application_name"]) == ("9", "5", "test")


def test_of_several_servers_a_process_wants_the_one_that_takes_writes() -> None:
    made = conninfo_to_dict(connection_string(SEVERAL, application="test"))
    assert (made["host"], made["port"], made["target_session_attrs"]) == ("one,two", ",5433", "read-write")


@pytest.mark.parametrize(("wanted", "made"), [("read-write", "primary"), ("any", "any"), ("standby", "standby")])
def test_who_only_reads_wants_the_same_server_although_his_session_takes_no_writes(wanted: str, made: str) -> None:
    url = SEVERAL.replace("read-write", wanted)
    read = conninfo_to_dict(connection_string(url, application="test", options=f"{READ_ONLY} -c work_mem=1MB"))
    assert read["target_session_attrs"] == made


def test_what_is_no_connection_string_is_refused() -> None:
    with pytest.raises(ValueError, match="not a PostgreSQL connection string"):
        connection_string("postgres//x", application="test")
