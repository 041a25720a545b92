"""Whatever code returns or raises, there is an outcome that can be recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters.job_types import outcomes
from adapters.job_types.outcomes import MAX_RETRY_AFTER
from commands.attempt import AttemptContext, Errored, Outcome, Stopped, Succeeded
from jobledger import PermanentError, RetryLater


@dataclass
class Point:
    x: int


def of_result(value: Any) -> Outcome:
    return outcomes.of_result(value, max_bytes=1000)


def of_error(exc: BaseException, *, stopping: bool = False) -> Outcome:
    context = AttemptContext("j1", 1, datetime(2026, 1, 27, tzinfo=UTC))
    context.should_stop = stopping
    return outcomes.of_error(exc, context)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, b"null"),
        ({"filePath": "ü"}, '{"filePath":"ü"}'.encode()),
        (Point(1), b'{"x":1}'),
        (math.nan, b"null"),
        ([math.inf], b"[null]"),
        (b"x", b'"eA=="'),
        ("\0", b'"\\u0000"'),
        (10**100, b"1" + b"0" * 100),
        (msgspec.Raw(b'{"n":1.10}'), b'{"n":1.10}'),
    ],
)
def test_what_is_json_is_the_result(value: Any, result: bytes) -> None:
    assert of_result(value) == Succeeded(result)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "TypeError"),
        ("\ud800", "UnicodeEncodeError"),
        ("x" * 1000, "1002 bytes"),
        (deep(65), "deeper than 64"),
        (deep(100_000), "RecursionError"),
        (msgspec.Raw(b"nonsense"), "DecodeError"),
        (msgspec.Raw(b'"\xff"'), "UnicodeDecodeError"),
        ({1: object()}, "TypeError"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "value",
)
def test_what_cannot_be_kept_fails_for_good_since_the_effect_is_there(value: Any, reason: str) -> None:
    outcome = of_result(value)

    assert isinstance(outcome, Errored)
    assert outcome.permanent
    assert reason in msgspec.json.decode(outcome.error, type=str)


def test_nesting_up_to_the_limit_is_kept() -> None:
    assert isinstance(of_result(deep(64)), Succeeded)
    assert isinstance(of_result([[] for _ in range(300)]), Succeeded)


@pytest.mark.parametrize("exc", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_any_exception_is_an_ordinary_error(exc: BaseException) -> None:
    outcome = of_error(exc)

    assert isinstance(outcome, Errored)
    assert (outcome.permanent, outcome.retry_after) == (False, None)
    assert msgspec.json.decode(outcome.error, type=str).startswith(type(exc).__name__)


def test_code_that_was_told_to_stop_and_raises_has_stopped() -> None:
    assert of_error(RuntimeError("told to"), stopping=True) == Stopped(b'"RuntimeError: told to"')


@pytest.mark.parametrize("stopping", [False, True])
def test_a_permanent_error_is_permanent_also_when_told_to_stop_or_in_a_group(*, stopping: bool) -> None:
    error = PermanentError("never")

    assert of_error(error, stopping=stopping) == Errored(b'"PermanentError: never"', permanent=True)
    grouped = of_error(ExceptionGroup("tasks", [ValueError("a"), error]), stopping=stopping)
    assert isinstance(grouped, Errored)
    assert grouped.permanent


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (0, 0.0),
        (2.5, 2.5),
        (math.inf, MAX_RETRY_AFTER),
        (10**400, MAX_RETRY_AFTER),
        (-1, None),
        (math.nan, None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_wait_that_is_asked_for_is_kept_within_bounds(asked: Any, kept: float | None) -> None:
    expected = Errored(b'"RetryLater: busy"', retry_after=kept)

    assert of_error(RetryLater("busy", seconds=asked)) == expected
    assert of_error(RetryLater("busy", seconds=asked), stopping=True) == expected


def test_a_wait_without_its_number_is_the_usual_one() -> None:
    class Forgetful(RetryLater):
        def __init__(self) -> None:
            pass

    assert of_error(Forgetful()) == Errored(b'"Forgetful"')


def test_the_place_of_an_unexpected_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def handler() -> None:
        raise ValueError("no")

    try:
        handler()
    except ValueError as exc:
        of_error(exc)

    fields = vars(caplog.records[0])
    assert fields["error"] == "ValueError: no"
    assert fields["where"][-1].endswith("in handler")
