"""What a caller may say of a new job beside its payload: tags, a time-out, a number of attempts."""

from __future__ import annotations

import math

import pytest

from domain.events import Created
from domain.job import create
from domain.limits import InvalidLimit, checked_max_attempts
from domain.tags import InvalidTags, checked_tags


def created(*, tags: tuple[str, ...] = (), timeout: float | None = None) -> Created:
    [new] = create(type="T", priority="default", payload=b"1", max_attempts=3, tags=tags, timeout=timeout)
    assert isinstance(new.event, Created)
    return new.event


def test_tags_are_kept_in_their_order_and_once() -> None:
    assert created(tags=("nightly", "größe ☃", "a,b", "nightly")).tags == ("nightly", "größe ☃", "a,b")
    assert created(tags=("x" * 64,) * 10).tags == ("x" * 64,)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ([str(n) for n in range(11)], "11 are given"),
        ([""], "one has 0 characters"),
        (["x" * 65], "one has 65 characters"),
        (["a\0b"], "'a\\x00b' has a control character"),
        (["a\nb"], "control character"),
        (["\ud800"], "control character"),
    ],
)
def test_tags_that_cannot_be_kept_are_refused(tags: list[str], said: str) -> None:
    with pytest.raises(InvalidTags, match="at most 10 tags of 1 to 64 characters") as caught:
        checked_tags(tags)
    assert said in str(caught.value)


def test_a_timeout_is_kept_in_whole_milliseconds() -> None:
    assert created(timeout=1.23456).timeout == 1.235
    assert created(timeout=604_800).timeout == 604_800


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, 604_800.1, math.inf, math.nan])
def test_a_timeout_out_of_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidLimit, match=r"0\.001 to 604800 seconds") as caught:
        created(timeout=seconds)
    assert caught.value.field == "timeout"


@pytest.mark.parametrize("attempts", [0, -1, 1_001])
def test_a_number_of_attempts_out_of_bounds_is_refused(attempts: int) -> None:
    assert checked_max_attempts(1) == 1
    with pytest.raises(InvalidLimit, match="1 to 1000 attempts"):
        checked_max_attempts(attempts)
