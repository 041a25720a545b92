"""The count of one caller's requests."""

from __future__ import annotations

import pytest

from entrypoints.api.problems import Problem
from entrypoints.api.rate_limit import RateLimit


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _left(limit: RateLimit, caller: str = "shop") -> bytes:
    return dict(limit.take(caller))[b"ratelimit"]


def _accepted(limit: RateLimit, caller: str, tries: int) -> int:
    accepted = 0
    for _ in range(tries):
        try:
            limit.take(caller)
        except Problem:
            continue
        accepted += 1
    return accepted


@pytest.mark.parametrize("per_second", [1, 3, 7, 1000])
def test_as_many_as_a_second_allows_may_come_at_once_and_then_one_by_one(per_second: int) -> None:
    clock = Clock()
    limit = RateLimit(per_second, now=clock)
    assert _accepted(limit, "shop", per_second + 5) == per_second
    for _ in range(50):
        clock.now += 1 / per_second
        assert _accepted(limit, "shop", 3) == 1
    clock.now += 3600
    assert _accepted(limit, "shop", per_second + 5) == per_second


def test_what_is_left_is_told_and_when_to_go_on() -> None:
    limit = RateLimit(3, now=Clock())
    assert [_left(limit) for _ in range(3)] == [b'"requests";r=2;t=1', b'"requests";r=1;t=1', b'"requests";r=0;t=1']
    with pytest.raises(Problem) as refused:
        limit.take("shop")
    assert refused.value.kind.status == 429
    assert dict(refused.value.headers) == {
        b"ratelimit-policy": b'"requests";q=3;w=1',
        b"ratelimit": b'"requests";r=0;t=1',
        b"retry-after": b"1",
    }


def test_callers_do_not_count_for_each_other() -> None:
    limit = RateLimit(2, now=Clock())
    assert _accepted(limit, "a", 5) == 2
    assert _accepted(limit, "b", 5) == 2


def test_of_more_callers_than_it_remembers_it_forgets_the_one_that_was_silent_longest() -> None:
    limit = RateLimit(1, now=Clock(), most_callers=2)
    assert [_accepted(limit, caller, 1) for caller in ("a", "b")] == [1, 1]
    assert _accepted(limit, "a", 1) == 0  # it asked last
    assert _accepted(limit, "c", 1) == 1
    assert _accepted(limit, "a", 1) == 0
    assert _accepted(limit, "b", 1) == 1
