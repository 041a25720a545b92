"""Conditional requests and ranges, by RFC 9110, sections 13 and 14."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from entrypoints.api.conditions import Current, Unsatisfiable, precondition, wanted_range

CURRENT = Current(b'"a"', 10, datetime(2026, 1, 27, 10, 30, tzinfo=UTC))
THEN = b"Tue, 27 Jan 2026 10:30:00 GMT"
BEFORE = b"Tue, 27 Jan 2026 10:29:59 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({b"if-none-match": b'"a"'}, 304),
        ({b"if-none-match": b'W/"a"'}, 304),
        ({b"if-none-match": b'"b", W/"c" ,"a"'}, 304),
        ({b"if-none-match": b"*"}, 304),
        ({b"if-none-match": b'"b"'}, 200),
        ({b"if-none-match": b"a"}, 200),
        ({b"if-match": b'"a"'}, 200),
        ({b"if-match": b"*"}, 200),
        ({b"if-match": b'W/"a"'}, 412),
        ({b"if-match": b'"b", "c"'}, 412),
        ({b"if-match": b'"b"', b"if-none-match": b'"a"'}, 412),
        ({b"if-modified-since": THEN}, 304),
        ({b"if-modified-since": BEFORE}, 200),
        ({b"if-modified-since": b"last week"}, 200),
        ({b"if-none-match": b'"b"', b"if-modified-since": THEN}, 200),  # the date does not count beside a tag
        ({b"if-unmodified-since": THEN}, 200),
        ({b"if-unmodified-since": BEFORE}, 412),
        ({b"if-match": b'"a"', b"if-unmodified-since": BEFORE}, 200),
    ],
)
def test_a_precondition_decides(headers: dict[bytes, bytes], status: int) -> None:
    assert precondition(headers, CURRENT) == status


def test_what_has_no_date_is_not_judged_by_one() -> None:
    undated = Current(b'"a"', 10)

    assert precondition({b"if-modified-since": THEN}, undated) == 200
    assert precondition({b"if-unmodified-since": BEFORE}, undated) == 200


@pytest.mark.parametrize(
    ("range", "wanted"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=2-4", (2, 5)),
        (b"bytes=2-", (2, 10)),
        (b"bytes=2-999999999999", (2, 10)),
        (b"bytes=-3", (7, 10)),
        (b"bytes=-99", (0, 10)),
        (b"Bytes= 0-1 ", (0, 2)),
        # not understood, or no range: all of it
        (b"bytes=4-2", None),
        (b"bytes=0-1,3-4", None),
        (b"bytes=-", None),
        (b"lines=0-1", None),
        (b"", None),
        (b"bytes=" + b"9" * 5000 + b"-", None),
    ],
)
def test_a_range_is_read(range: bytes, wanted: tuple[int, int] | None) -> None:
    assert wanted_range({b"range": range}, CURRENT) == wanted


@pytest.mark.parametrize("range", [b"bytes=10-", b"bytes=10-12", b"bytes=-0"])
def test_a_range_beyond_the_end_is_refused(range: bytes) -> None:
    with pytest.raises(Unsatisfiable):
        wanted_range({b"range": range}, CURRENT)


@pytest.mark.parametrize(
    ("if_range", "is_still"), [(b'"a"', True), (b'"b"', False), (b'W/"a"', False), (THEN, False), (b"nonsense", False)]
)
def test_a_range_is_for_those_who_have_the_rest_of_the_same(if_range: bytes, is_still: bool) -> None:
    assert wanted_range({b"range": b"bytes=0-1", b"if-range": if_range}, CURRENT) == ((0, 2) if is_still else None)
