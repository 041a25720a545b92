"""Looking back finds what it wants along the log's two indexes, however long the log is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.postgres.replaying import read_only
from adapters.postgres.statements import load_statement
from tests.properties.histories import seeded_history
from tests.real_log import connected, insert_history

_RANGE = {
    "after": "00000000-0000-0000-0000-000000000000",
    "last": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "position": 900,
    "limit": 50,
}


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("replay_horizon", {}),
        ("replay_position", {"time": datetime.now(UTC), "head": 2_000}),
        ("replay_events", {"first": 500, "last": 2_000, "limit": 50, "bytes": 1_000_000}),
        ("replay_counts", _RANGE),
        ("replay_jobs", {**_RANGE, "bytes": 1_000_000}),
    ],
)
async def test_no_statement_reads_the_whole_log(postgres_url: str, question: str, asked: dict[str, Any]) -> None:
    with connected(postgres_url) as db:
        insert_history(db, seeded_history(41, jobs=300, commands=2_500).recorded)
        db.execute("vacuum analyze events")
    async with read_only(postgres_url, application="plans") as database, database.connection() as connection:
        cursor = await connection.execute("explain (analyze, format json) " + load_statement(question), asked)
        [[[plan]]] = await cursor.fetchall()

    read = [
        (node["Node Type"], node["Actual Rows"] * node["Actual Loops"])
        for node in _nodes(plan["Plan"])
        if node.get("Relation Name") == "events"
    ]
    assert read, plan
    assert all("Index" in kind for kind, _ in read), read
    assert all(rows <= 200 for _, rows in read), read


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", ()) for below in _nodes(child))]
