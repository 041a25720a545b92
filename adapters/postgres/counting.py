"""What PostgreSQL answers to the questions of projections.counts.LogCounter, read: whoever asks has a connection of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from domain.events import EVENT_TYPES
from projections.counts import KEPT, Counted, CountsReading, CountsStanding

KEPT_PARAMETERS: dict[str, Any] = {
    f"kept_{width}": seconds for width, seconds in KEPT.items()
}  # of sql/parts/stats_kept.sql
COUNT_PARAMETERS: dict[str, Any] = {**KEPT_PARAMETERS, "known": list(EVENT_TYPES)}

Row = tuple[Any, ...]


def standing_of(rows: Iterable[Row]) -> CountsStanding:
    """Of verify_stats_standing.sql."""
    [row] = rows
    return CountsStanding(*row)


def counts_of(rows: Iterable[Row]) -> dict[Counted, int]:
    """Of verify_stats_counted.sql."""
    return {Counted(*row[:-1]): row[-1] for row in rows}


def reading_of(rows: Sequence[Row]) -> CountsReading:
    """Of verify_stats.sql: there is one row at least, and all begin with the same."""
    held: dict[Counted, int] = {}
    rest: dict[Counted, int] = {}
    for _, _, is_held, *row in rows:
        (held if is_held else rest)[Counted(*row[:-1])] = row[-1]
    position, second = rows[0][:2]
    return CountsReading(position, second, held, rest)
