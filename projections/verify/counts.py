"""The counts (R4): `stats` against the whole log, counted anew."""

from __future__ import annotations

from collections.abc import Iterator

from projections.counts import CountsReading, LogCount, differences
from projections.verify.checks import Violation


def judge_counts(reading: CountsReading, counted: LogCount) -> Iterator[Violation]:
    """Counts that are not the log's; `counted` is what it says up to where `reading` goes on."""
    counted.add(reading.rest)
    for difference in differences(reading.held, counted.at(reading.second)):
        yield Violation(check="R4", sentence=str(difference))
