"""Moments of the log as people and programs write them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.moment import MAX_POSITION, InvalidMoment, moment_text, parse_moment, parse_position, timestamp

HALF_PAST = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
_offsets = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", 0),
        ("4711", 4711),
        ("0004711", 4711),
        ("0" * 9_000 + "1", 1),
        ("9" * 9_000, MAX_POSITION),
        ("2026-01-27T10:30:00Z", HALF_PAST),
        ("2026-01-27t10:30:00z", HALF_PAST),
        ("2026-01-27 10:30:00Z", HALF_PAST),
        ("2026-01-27T11:30:00+01:00", HALF_PAST),
        ("2026-01-27T11:30:00 01:00", HALF_PAST),  # a plus sign that was not escaped in a URL
        ("2026-01-27T10:30:00-00:00", HALF_PAST),
        ("2026-01-27T00:30:00.000-10:00", HALF_PAST),
        ("2026-01-27T10:30:00.1Z", HALF_PAST + timedelta(milliseconds=100)),
        ("2026-01-27T10:30:00.1234569999Z", HALF_PAST + timedelta(microseconds=123_456)),
        ("2026-01-27T10:29:60Z", HALF_PAST - timedelta(microseconds=1)),
        ("0001-01-01T00:00:00+01:00", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-01:00", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_what_names_a_moment(text: str, moment: object) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "٣",
        "now",
        "yesterday",
        "2026-01-27",
        "2026-01-27T10:30",
        "2026-01-27T10:30Z",
        "2026-01-27T10:30:00",
        "2026-01-27T10:30:00+0100",
        "2026-01-27T10:30:00+01",
        "2026-01-27T10:30:00+24:00",
        "2026-01-27T24:00:00Z",
        "2026-01-27T10:60:00Z",
        "2026-01-27T10:30:61Z",
        "2026-01-27T10:30:00.Z",
        "2026-02-29T10:30:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-27T10:30:00Z ",
        "2026-01-27T10:30:00Z\n",
        "２０２６-01-27T10:30:00Z",
        "\ud800",
    ],
)
def test_what_names_none_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidMoment, match="RFC 3339"):
        parse_moment(text)


def test_a_time_is_no_position() -> None:
    with pytest.raises(InvalidMoment):
        parse_position("2026-01-27T10:30:00Z")


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidMoment):
        assert moment_text(parse_moment(text))


@given(st.datetimes(timezones=_offsets).filter(lambda at: 1 < at.year < 9999))
def test_what_the_service_writes_it_reads_to_the_millisecond(at: datetime) -> None:
    read = parse_moment(timestamp(at))
    assert isinstance(read, datetime)
    assert timedelta(0) <= at - read < timedelta(milliseconds=1)
