"""Takes a JSON object apart into its members without changing a byte of them.

The standard library's parser does the reading; it takes all that RFC 8259 calls JSON (lone surrogate escapes, repeated names,
numbers of any size), so this is also the reference for what is accepted.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from msgspec import Struct

_SPACE = re.compile(r"[ \t\n\r]*")  # RFC 8259, section 2


class NotAnObject(ValueError):
    """The text is JSON, but no object."""


class Member(Struct, frozen=True):
    """One member's value: as Python has it (numbers are None), and as the JSON it came as."""

    value: Any
    json: str


def json_members(text: str) -> dict[str, Member]:
    """The members of the object that `text` is, by name; of repeated names the last, as in most parsers.

    Raises NotAnObject; ValueError, which says what is wrong and where, for what is no JSON. Nesting must be bounded before.
    """
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        _, at = _scanner.raw_decode(text, at)
        _expect_end(text, at)
        raise NotAnObject
    members: dict[str, Member] = {}
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "}":
        _expect_end(text, at + 1)
        return members
    while True:
        _expect(text, at, '"')
        name, at = _scanner.raw_decode(text, at)
        at = _expect(text, _after_space(text, at), ":")
        begin = _after_space(text, at)
        value, end = _scanner.raw_decode(text, begin)
        members[name] = Member(value, text[begin:end])
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            _expect_end(text, at + 1)
            return members
        at = _after_space(text, _expect(text, at, ","))


def _expect(text: str, at: int, char: str) -> int:
    if text[at : at + 1] != char:
        raise json.JSONDecodeError(f"Expecting '{char}'", text, at)
    return at + 1


def _expect_end(text: str, at: int) -> None:
    at = _after_space(text, at)
    if at != len(text):
        raise json.JSONDecodeError("Expecting the end", text, at)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _ignore_number(text: str) -> None:
    return None  # int() refuses more than 4,300 digits


_scanner = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_ignore_number, parse_float=_ignore_number)
