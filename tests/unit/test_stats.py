"""What counts say: rates, ages and percentiles."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from math import ceil, floor, log2

import pytest

from commands.stats import PERCENTILES, SPANS, Count, percentiles, tally

AT = datetime(2026, 1, 27, 10, 32, 4, 250_000, tzinfo=UTC)


def test_counts_of_several_pairs_add_up_and_the_oldest_of_all_is_told() -> None:
    second = int(AT.timestamp())
    told = tally(
        [
            Count("queued", "A", "default", 0, 0, 3),
            Count("queued", "B", "high", 0, 0, 2),
            Count("completed", "A", "default", 0, 0, 7),
            Count("since", "A", "default", 0, 0, second - 5),
            Count("since", "B", "high", 0, 0, second - 9),
            Count("Created", "A", "default", 1, 0, 4),
            Count("Created", "B", "high", 1, 0, 1),
            Count("Created", "B", "high", 60, 0, 6),
        ],
        AT,
    )
    assert told.states == {"queued": 5, "completed": 7}
    assert told.oldest == pytest.approx(9.25)
    assert {minutes: span.events for minutes, span in told.spans.items()} == {
        1: {"Created": 5},
        5: {},
        60: {"Created": 6},
    }
    assert all(span.wait is None and span.run is None for span in told.spans.values())


def test_a_span_begins_with_a_whole_slot() -> None:
    told = tally([], AT)
    assert {minutes: span.seconds for minutes, span in told.spans.items()} == {1: 64.25, 5: 304.25, 60: 3724.25}
    assert told.oldest is None
    for minutes, width in SPANS.items():
        assert minutes * 60 <= told.spans[minutes].seconds < minutes * 60 + width


def test_percentiles_are_off_by_the_width_of_a_bucket_at_most() -> None:
    rng = random.Random(7)
    milliseconds = sorted(rng.lognormvariate(4, 2) + 1 for _ in range(5_000))
    found = percentiles(Counter(floor(8 * log2(took)) for took in milliseconds))
    assert found is not None
    for percentile in PERCENTILES:
        exact = milliseconds[ceil(len(milliseconds) * percentile / 100) - 1] / 1000
        assert found[percentile] == pytest.approx(exact, rel=0.045)


def test_one_measurement_is_every_percentile_and_none_is_none() -> None:
    assert percentiles({}) is None
    found = percentiles({80: 1})
    assert found is not None
    assert set(found) == set(PERCENTILES)
    assert list(found.values()) == pytest.approx([1.024] * len(PERCENTILES), rel=0.045)
