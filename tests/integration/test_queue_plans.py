"""The relay's statements find what they want by an index, however long the log is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import ClientCursor

from adapters.postgres.statements import load_statement
from tests.integration.queue_system import System, queue_system


@pytest.fixture
async def system(postgres_url: str, redis_url: str) -> AsyncIterator[System]:
    async with queue_system(postgres_url, redis_url) as made:
        yield made


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("log_page", {"begin": 3_900, "limit": 100, "queueing": ["Created", "Queued"]}),
        ("queued_page", {"after": 3_900, "limit": 100, "min_age": 0.0}),
        ("queued_page", {"after": 0, "limit": 100, "min_age": 60.0}),
        ("still_queued", {"job_ids": ["0190f5fe-7c00-7a00-8000-000000000000"] * 3, "versions": [1, 2, 3]}),
    ],
)
async def test_no_statement_of_the_relay_reads_a_whole_table(
    system: System, question: str, asked: dict[str, Any]
) -> None:
    for _ in range(4):
        await system.create(1_000)
    await system.project()
    with psycopg.connect(system.postgres_url, autocommit=True) as connection:
        connection.execute("analyze")
        cursor = ClientCursor(connection)
        cursor.execute("explain " + load_statement(question), asked)
        plan = "\n".join(line for (line,) in cursor.fetchall())

    for table in ("events", "jobs"):
        assert f"Seq Scan on {table}" not in plan, plan
