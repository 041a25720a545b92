"""The header `traceparent`: read as W3C Trace Context says, and not a bit more generously."""

from __future__ import annotations

import pytest

from domain.trace import read_traceparent
from entrypoints.api.tracing import trace_of, trace_response

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GOOD = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "value", [GOOD, GOOD[:-2] + "00", "cc" + GOOD[2:], "cc" + GOOD[2:] + "-what-will-be-the-future"]
)
def test_the_trace_id_of_a_valid_header_is_taken(value: str) -> None:
    assert read_traceparent(value.encode()) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        "ff" + GOOD[2:],  # the one version that there will never be
        GOOD + "-more",  # version 00 has four parts
        "cc" + GOOD[2:] + ".more",
        GOOD.upper(),
        GOOD.replace(TRACE, "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        GOOD.replace(TRACE, TRACE[:-1]),
        GOOD.replace(TRACE, TRACE[:-1] + "g"),
        GOOD[:-1],
        " " + GOOD,
        GOOD + "\n",
        GOOD.replace("-", "_"),
    ],
)
def test_anything_else_is_as_if_it_were_not_there(value: str) -> None:
    assert read_traceparent(value.encode()) is None
    made = trace_of([(b"traceparent", value.encode())])
    assert made != TRACE
    assert read_traceparent(trace_response(made)[1]) == made


def test_a_header_that_comes_twice_is_as_if_it_were_not_there() -> None:
    header = (b"traceparent", GOOD.encode())
    assert trace_of([header]) == TRACE
    assert trace_of([header, header]) != TRACE


def test_requests_without_one_are_told_apart() -> None:
    assert len({trace_of([]) for _ in range(100)}) == 100


def test_the_answer_says_which_trace_it_was() -> None:
    name, value = trace_response(TRACE)
    assert name == b"traceresponse"
    assert read_traceparent(value) == TRACE
