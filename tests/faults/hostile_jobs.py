"""Job types that return and raise whatever code can, in the loop, in a thread and in a process: `what` says which.

Copied beside fault_jobs.py into the directory of installed packages.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

import jobledger


@dataclass
class Point:
    x: object


class Liar:
    """Says that it is a dict, and is not."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return dict

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Mute(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307 - that is its fault


class Odd(BaseException):
    """No Exception."""


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def _circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _raise(exc: BaseException) -> None:
    raise exc


def _exhaust_the_stack() -> None:
    _exhaust_the_stack()


def _raise_with_itself_as_cause() -> None:
    exc = ValueError("its own cause")
    exc.__context__ = exc
    exc.__cause__ = exc
    raise exc


RESULTS: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "NaN": lambda: math.nan,
    "infinity": lambda: [math.inf, -math.inf],
    "bytes": lambda: b"\x00\xff",
    "NUL": lambda: "a\0b",
    "a dataclass": lambda: Point(1),
    "a huge integer": lambda: 10**4000,
    "an integer beyond all": lambda: 10**6000,
    "64 deep": lambda: _nested(64),
    "65 deep": lambda: _nested(65),
    "100,000 deep": lambda: _nested(100_000),
    "a circle": _circle,
    "half a character": lambda: "\ud800",
    "half a character as a key": lambda: {"\udfff": 1},
    "50 MB": lambda: "x" * 50_000_000,
    "50 MB of bytes": lambda: b"x" * 50_000_000,
    "any object": object,
    "an object within": lambda: {"a": [Point(object())]},
    "a liar": Liar,
    "a class": lambda: Point,
    "a function": lambda: _nested,
    "a generator": lambda: (number for number in range(3)),
    "a module": lambda: sys,
    "nonsense that says it is JSON": lambda: msgspec.Raw(b'{"a":'),
    "bad UTF-8 that says it is JSON": lambda: msgspec.Raw(b'"\xff"'),
    "an exception, returned": lambda: ValueError("returned"),
}
ERRORS: dict[str, Callable[[], None]] = {
    "NUL in the text": lambda: _raise(ValueError("a\0b")),
    "half a character in the text": lambda: _raise(ValueError("\ud800 and \udc00")),
    "50 MB of text": lambda: _raise(ValueError("x" * 50_000_000)),
    "50 MB of NUL": lambda: _raise(ValueError("\0" * 50_000_000)),
    "no text": lambda: _raise(Silent()),
    "a text that is none": lambda: _raise(Mute()),
    "sys.exit": lambda: sys.exit(3),
    "sys.exit that says all is well": lambda: sys.exit(0),
    "sys.exit with an object": lambda: sys.exit(["\0"]),  # type: ignore[arg-type]
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "CancelledError": lambda: _raise(asyncio.CancelledError()),
    "BaseException": lambda: _raise(Odd("\0")),
    "MemoryError": lambda: _raise(MemoryError()),
    "no more stack": _exhaust_the_stack,
    "its own cause": _raise_with_itself_as_cause,
    "a group of a thousand": lambda: _raise(ExceptionGroup("many", [ValueError("\0")] * 1000)),
    "a group of exits": lambda: _raise(BaseExceptionGroup("exits", [SystemExit(1), KeyboardInterrupt()])),
    "a permanent error": lambda: _raise(jobledger.PermanentError("\0\ud800")),
    "a wait that is no number": lambda: _raise(jobledger.RetryLater("later", seconds=math.nan)),
}


def _do(payload: dict[str, str]) -> Any:
    what = payload["what"]
    if what in ERRORS:
        ERRORS[what]()
    return RESULTS[what]()


@jobledger.job_type("HOSTILE_LOOP", max_attempts=1)
async def hostile_loop(payload: dict[str, str], context: jobledger.Context) -> Any:
    return _do(payload)


@jobledger.job_type("HOSTILE_THREAD", max_attempts=1)
def hostile_thread(payload: dict[str, str], context: jobledger.Context) -> Any:
    return _do(payload)


@jobledger.job_type("HOSTILE_PROCESS", max_attempts=1, runs_in="process")
def hostile_process(payload: dict[str, str], context: jobledger.Context) -> Any:
    return _do(payload)


@jobledger.job_type("HOSTILE_TASK", max_attempts=1)
async def hostile_task(payload: dict[str, str], context: jobledger.Context) -> Any:
    """Does it in a task of its own, which the event loop runs by itself."""

    async def do() -> Any:
        return _do(payload)

    return await asyncio.create_task(do())
