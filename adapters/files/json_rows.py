"""A JSON list of objects, taken apart into columns. What becomes of them is not decided in here.

Most such lists have the same names in each object, so they are decoded into structs rather than dictionaries: no name is looked
up, and that all names are there the decoder has seen. A list in which one object differs from the first is decoded the other way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from types import GenericAlias
from typing import Any, Protocol

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

_FIRST_BYTES = 4096  # in which the first object must end to be looked at
_BEGINNING = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*")  # RFC 8259, section 2


class Rows(Protocol):
    """Rows and their columns: `header` holds all names in order of first appearance."""

    header: Sequence[str]

    def __len__(self) -> int: ...

    def columns(self, start: int, stop: int) -> Iterable[Sequence[Any]]:
        """The values of the rows from `start` to before `stop`, column by column; None where a row has none."""


def decode_rows(data: Raw) -> Rows:
    """Decode a JSON list of objects; numbers with a fraction or an exponent stay as they were written (msgspec.Raw),
    and integers are exact (only -0 becomes 0).

    Raises msgspec.DecodeError (ValidationError if it is other JSON).
    """
    rows = _of_one_shape(data)
    if rows is not None:
        return rows
    try:
        return _DictRows(_decoder.decode(data))
    except msgspec.ValidationError:
        # Integers of thousands of digits are refused by the fast way; the exact one decodes value by value.
        decoded = _exact_decoder.decode(data)
        return _DictRows([{key: _exact(value) for key, value in row.items()} for row in decoded])


_decoder = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Raw)
_exact_decoder = msgspec.json.Decoder(list[dict[str, Raw]])


class _DictRows:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.header: Sequence[str] = list(dict.fromkeys(chain.from_iterable(rows)))

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self, start: int, stop: int) -> Iterable[Sequence[Any]]:
        rows = self._rows[start:stop]
        if len(self.header) > 1:
            try:
                return zip(*map(itemgetter(*self.header), rows), strict=True)
            except KeyError:
                pass
        return [[row.get(key) for row in rows] for key in self.header]


class _UniformRows:
    def __init__(self, header: Sequence[str], rows: list[Any]) -> None:
        self.header = header
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self, start: int, stop: int) -> Iterable[Sequence[Any]]:
        return zip(*map(astuple, self._rows[start:stop]), strict=True)


def _of_one_shape(data: Raw) -> Rows | None:
    """The rows, if all have the names of the first one and texts where it has texts."""
    text = bytes(memoryview(data)[:_FIRST_BYTES]).decode("utf-8", "replace")
    begins = _BEGINNING.match(text)
    if begins is None:
        return None
    try:
        first, _ = _first_decoder.raw_decode(text, begins.end())
        if not isinstance(first, dict) or not first:
            return None
        decode = _decoder_for(tuple((name, isinstance(value, str)) for name, value in first.items()))
        return _UniformRows(list(first), decode(data))
    # Such are msgspec's errors, and that for a name which no field can have.
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=128)
def _decoder_for(shape: tuple[tuple[str, bool], ...]) -> Callable[[Raw], list[Any]]:
    """Decodes rows with these names; with each, whether it is of texts. Kept, as each makes a class."""
    row = msgspec.defstruct(
        "Row",
        [(f"_{number}", str | None if is_text else Any) for number, (_, is_text) in enumerate(shape)],
        rename={f"_{number}": name for number, (name, _) in enumerate(shape)},
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(GenericAlias(list, (row,)), float_hook=Raw).decode


_first_decoder = json.JSONDecoder(parse_int=bool)  # any value will do, and of thousands of digits int makes none


def _exact(raw: Raw) -> Any:
    match bytes(raw)[:1]:
        case b'"' | b"t" | b"f" | b"n":
            return msgspec.json.decode(raw)
        case b"{" | b"[":
            return Raw(
                msgspec.json.format(bytes(raw), indent=-1)
            )  # without spaces, as the encoder of the fast way does it
        case _:
            return raw
