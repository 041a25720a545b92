"""The waits between attempts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from domain.retry import RetryPolicy


def test_waits_are_one_two_four_and_end_at_the_cap() -> None:
    policy = RetryPolicy(base=1.0, cap=10.0)
    assert [policy.wait_after(used) for used in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(st.integers(1, 10**9), st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_any_number_of_attempts_waits_a_finite_time_and_never_less_than_before(
    used: int, base: float, cap: float
) -> None:
    policy = RetryPolicy(base=base, cap=cap)
    wait = policy.wait_after(used)
    assert math.isfinite(wait)
    assert 0 < wait <= cap
    assert policy.wait_after(used + 1) >= wait
