"""JSON objects as CSV text (RFC 4180): CRLF line ends, a header row, quotes only where needed. No files in here.

Works by columns, a block of rows at a time: most columns hold one kind of value, so that one look at their types and one
search for characters that need care replaces a decision per cell. Measured: twice as fast as `csv.writer` over rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Raw

BLOCK_ROWS = 1000  # about 100 KB of text: large enough for the work by columns, small enough to stop soon

# A spreadsheet takes a text that begins so for a formula (OWASP, "CSV Injection"); an apostrophe before it says: text.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_SEPARATOR = (
    "\x1f"  # between the joined cells of a column; a cell that holds one itself only costs a needless closer look
)
_FORMULA_AFTER_SEPARATOR = re.compile(_SEPARATOR + "[" + re.escape("".join(_FORMULA_STARTS)) + "]")

_BOOLEANS = {True: "true", False: "false"}
_NONE = type(None)

Row = dict[str, Any]


def decode_rows(data: Raw) -> list[Row]:
    """Decode a JSON list of objects; numbers with a fraction or an exponent stay as they were written (msgspec.Raw),
    and integers are exact (only -0 becomes 0).

    Raises msgspec.DecodeError (ValidationError if it is other JSON).
    """
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        # Integers of thousands of digits are refused by the fast way; the exact one decodes value by value.
        return [{key: _exact(value) for key, value in row.items()} for row in _exact_decoder.decode(data)]


_decoder = msgspec.json.Decoder(list[Row], float_hook=Raw)
_exact_decoder = msgspec.json.Decoder(list[dict[str, Raw]])


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


def csv_blocks(rows: Sequence[Row], *, neutralise: bool) -> Iterator[bytes]:
    """The file in UTF-8, a block of up to BLOCK_ROWS rows at a time; the header row comes alone, first.

    The header holds all keys in order of first appearance; without any key (no rows, or only empty objects) there is nothing.
    Null and missing are empty; true, false and nested values are JSON; numbers are as written. `neutralise`: texts and header
    cells that a spreadsheet would run as formulas get an apostrophe before them; numbers never.
    """
    header = _header(rows)
    if not header:
        return
    lone = len(header) == 1
    cells = _texts(header, neutralise=neutralise, lone=lone)
    yield (",".join(cells) + "\r\n").encode()
    for start in range(0, len(rows), BLOCK_ROWS):
        columns = [
            _column(values, neutralise=neutralise, lone=lone)
            for values in _columns(header, rows[start : start + BLOCK_ROWS])
        ]
        lines = map(",".join, zip(*columns, strict=True))
        yield ("\r\n".join(lines) + "\r\n").encode()


def _header(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    first = list(rows[0])
    if all(map(rows[0].keys().__eq__, map(dict.keys, rows))):
        return first
    return list(dict.fromkeys(chain.from_iterable(rows)))


def _columns(header: list[str], rows: Sequence[Row]) -> Iterable[Sequence[Any]]:
    if len(header) == 1:
        return ([row.get(header[0]) for row in rows],)
    try:
        return zip(*map(itemgetter(*header), rows), strict=True)
    except KeyError:
        return [[row.get(key) for row in rows] for key in header]


def _column(values: Sequence[Any], *, neutralise: bool, lone: bool) -> Sequence[str]:
    kinds = set(map(type, values))
    if kinds == {int}:
        return list(map(str, values))
    if kinds == {Raw}:
        return _numbers(values)
    if kinds == {bool}:
        return list(map(_BOOLEANS.__getitem__, values))
    if kinds == {str}:
        return _texts(values, neutralise=neutralise, lone=lone)
    if kinds == {str, _NONE}:
        return _texts([value or "" for value in values], neutralise=neutralise, lone=lone)
    return [_cell(value, neutralise=neutralise, lone=lone) for value in values]


def _texts(texts: Sequence[str], *, neutralise: bool, lone: bool) -> Sequence[str]:
    joined = _SEPARATOR + _SEPARATOR.join(texts)
    if neutralise and _FORMULA_AFTER_SEPARATOR.search(joined):
        texts = ["'" + text if text.startswith(_FORMULA_STARTS) else text for text in texts]
    if '"' in joined or "," in joined or "\n" in joined or "\r" in joined:
        texts = [
            _quoted(text) if '"' in text or "," in text or "\n" in text or "\r" in text else text for text in texts
        ]
    if lone:
        # The only cell of its row: an empty line would be read as no row at all.
        texts = [text or '""' for text in texts]
    return texts


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _numbers(values: Sequence[Raw]) -> Sequence[str]:
    joined = _SEPARATOR.encode().join(values).decode()
    if '"' in joined or "," in joined:  # nested values of the exact way
        return _texts([bytes(value).decode() for value in values], neutralise=False, lone=False)
    return joined.split(_SEPARATOR)


def _cell(value: Any, *, neutralise: bool, lone: bool) -> str:
    text = "" if value is None else value
    if not isinstance(text, str):
        # msgspec writes numbers, booleans and nested values as JSON, and Raw as it was written.
        text, neutralise = msgspec.json.encode(value).decode(), False
    return _texts([text], neutralise=neutralise, lone=lone)[0]
