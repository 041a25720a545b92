"""JSON objects as CSV text (RFC 4180): CRLF line ends, a header row, quotes only where needed. No files in here.

Works by columns, a block of rows at a time: most columns hold one kind of value, so that one look at their types and one
search for characters that need care replaces a decision per cell. Measured: twice as fast as `csv.writer` over rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from adapters.files.json_rows import Rows

BLOCK_ROWS = 1000  # about 100 KB of text: large enough for the work by columns, small enough to stop soon

# A spreadsheet takes a text that begins so for a formula (OWASP, "CSV Injection"); an apostrophe before it says: text.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_SEPARATOR = (
    "\x1f"  # between the joined cells of a column; a cell that holds one itself only costs a needless closer look
)
_FORMULA_AFTER_SEPARATOR = re.compile(_SEPARATOR + "[" + re.escape("".join(_FORMULA_STARTS)) + "]")

_BOOLEANS = {True: "true", False: "false"}
_NONE = type(None)


def csv_blocks(rows: Rows, *, neutralise: bool) -> Iterator[bytes]:
    """The file in UTF-8, a block of up to BLOCK_ROWS rows at a time; the header row comes alone, first.

    The header holds all keys in order of first appearance; without any key (no rows, or only empty objects) there is nothing.
    Null and missing are empty; true, false and nested values are JSON; numbers are as written. `neutralise`: texts and header
    cells that a spreadsheet would run as formulas get an apostrophe before them; numbers never.
    """
    header = rows.header
    if not header:
        return
    lone = len(header) == 1
    cells = _texts(header, neutralise=neutralise, lone=lone)
    yield (",".join(cells) + "\r\n").encode()
    for start in range(0, len(rows), BLOCK_ROWS):
        columns = [
            _column(values, neutralise=neutralise, lone=lone) for values in rows.columns(start, start + BLOCK_ROWS)
        ]
        lines = map(",".join, zip(*columns, strict=True))
        yield ("\r\n".join(lines) + "\r\n").encode()


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
    if '"' in joined or "\n" in joined or "\r" in joined:
        texts = [
            _quoted(text) if '"' in text or "," in text or "\n" in text or "\r" in text else text for text in texts
        ]
    elif "," in joined:
        texts = [f'"{text}"' if "," in text else text for text in texts]
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
