"""What a new job may wait for, and what is refused before it becomes an event."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain import job as verbs
from domain.events import Created, decode_data, encode_data
from domain.waiting import EARLIEST_RUN_AT, LATEST_RUN_AT, LONGEST_DELAY, InvalidWait

LONGEST = LONGEST_DELAY.total_seconds()
A_MICROSECOND = timedelta(microseconds=1)


def created(*, delay: float | None = None, run_at: datetime | None = None) -> Created:
    [new] = verbs.create(type="T", priority="high", payload=b"1", max_attempts=3, delay=delay, run_at=run_at)
    assert isinstance(new.event, Created)
    return new.event


@pytest.mark.parametrize(("given", "kept"), [(0, 0.0), (1.0004, 1.0), (1.0006, 1.001), (LONGEST, LONGEST)])
def test_a_delay_within_its_bounds_is_kept_to_the_millisecond(given: float, kept: float) -> None:
    assert created(delay=given).delay == kept


def test_a_negative_zero_is_no_delay_at_all() -> None:
    assert math.copysign(1, created(delay=-0.0).delay or 0.0) == 1


@pytest.mark.parametrize("given", [-0.001, -1e300, math.nan, math.inf, -math.inf, LONGEST + 0.001, 1e300])
def test_a_delay_that_nobody_can_wait_for_is_refused(given: float) -> None:
    with pytest.raises(InvalidWait, match="ten years") as refused:
        created(delay=given)
    assert (refused.value.code, refused.value.field) == ("invalid_wait", "delay")


@pytest.mark.parametrize(
    "given",
    [
        EARLIEST_RUN_AT,
        LATEST_RUN_AT,
        datetime(2026, 1, 27, 10, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        LATEST_RUN_AT.astimezone(timezone(timedelta(hours=-12))),
    ],
)
def test_a_time_to_run_at_is_the_same_moment_in_utc_before_and_after_the_log(given: datetime) -> None:
    event = created(run_at=given)
    assert event.run_at == given
    assert event.run_at.tzinfo == UTC
    assert decode_data("Created", encode_data(event)) == event


@pytest.mark.parametrize(
    "given",
    [
        EARLIEST_RUN_AT - A_MICROSECOND,
        LATEST_RUN_AT + A_MICROSECOND,
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),  # in UTC before the year 1
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),  # in UTC after the year 9999
    ],
)
def test_a_time_that_some_reader_cannot_hold_is_refused(given: datetime) -> None:
    with pytest.raises(InvalidWait, match="1970-01-02 to 9998-12-31") as refused:
        created(run_at=given)
    assert refused.value.field == "run_at"


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(InvalidWait, match="offset"):
        created(run_at=datetime(2026, 1, 27, 10, 30))  # noqa: DTZ001 - that is what is refused


def test_a_delay_and_a_time_together_are_refused() -> None:
    with pytest.raises(InvalidWait, match="not both"):
        created(delay=1.0, run_at=datetime(2026, 1, 27, tzinfo=UTC))
