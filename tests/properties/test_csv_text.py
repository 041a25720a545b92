"""Whatever JSON a list of objects holds, its CSV reads back as the very same texts, numbers and nested values."""

from __future__ import annotations

import csv
import gc
import io
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from adapters.files.csv_text import BLOCK_ROWS, csv_blocks
from adapters.files.json_rows import decode_rows
from tests.properties.effort import effort

# RFC 4180, section 2, where text is anything but quote, comma, CR and LF.
_FIELD = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
RFC_4180 = re.compile(rf"(?:{_FIELD}(?:,{_FIELD})*\r\n)*")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "",
        "=1+1",
        "+49",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "a,b",
        'say "hi"',
        "line\nbreak",
        "a\r\nb",
        "\x1f=",
        "'=",
        "true",
        "\0",
    ]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
rows_of_anything = st.lists(st.dictionaries(texts, values, max_size=4), max_size=8)
uniform_rows = st.lists(
    st.fixed_dictionaries({"id": st.integers(), "text": texts, "on": st.booleans()}), min_size=1, max_size=8
)


def written(document: str, *, neutralise: bool = True) -> str:
    return b"".join(csv_blocks(decode_rows(Raw(document)), neutralise=neutralise)).decode()


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def neutral(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


@effort(quick=150, long=5000)
@given(rows=rows_of_anything | uniform_rows, neutralise=st.booleans())
@example(rows=[{"a": None}, {"a": ""}], neutralise=True)
@example(rows=[{"": ""}], neutralise=True)
@example(rows=[{"a": 1, "b": 2}, {"b": 3, "a": 4}], neutralise=True)
@example(rows=[{"a": 1, "b": 2}, {"b": 3, "c": 4}], neutralise=True)
@example(rows=[{"a": "x", "b": 1}, {"a": None, "b": "="}], neutralise=True)
@example(rows=[{"a": "x", "b": None}, {"a": 1, "b": "y"}], neutralise=True)
@example(rows=[{"a": "x", "b": "y"}, {"a": "x"}], neutralise=True)
@example(rows=[{'q"': "x", "b\\": "y", "\n": 1}, {'q"': "z", "b\\": "a,b", "\n": 2}], neutralise=True)
@example(rows=[{"long": "x" * 5000, "b": "a,b"}, {"long": "", "b": "c"}], neutralise=True)
@example(rows=[{"a": 1.5, "b": 10**5000}, {"a": {"x": [1.5, 'q"']}, "b": "=1"}], neutralise=True)
def test_a_file_reads_back_as_what_was_exported(rows: list[dict[str, Any]], *, neutralise: bool) -> None:
    text = written(dumped(rows), neutralise=neutralise)

    keep = neutral if neutralise else str
    header = list(dict.fromkeys(key for row in rows for key in row))
    if not header:
        assert text == ""
        return
    assert RFC_4180.fullmatch(text)
    head, *records = read(text)
    assert head == [keep(key) for key in header]
    assert len(records) == len(rows)
    for row, record in zip(rows, records, strict=True):
        for key, cell in zip(header, record, strict=True):
            match row.get(key):
                case None:
                    assert cell == ""
                case str(value):
                    assert cell == keep(value)
                case dict() | list() as value:
                    assert json.loads(cell) == value
                case value:
                    assert cell == dumped(value)


def dumped(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**4000:
        return "1" + "0" * 5000  # the only one that is used; json would refuse to print it
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {dumped(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("number", ["1.10", "1e400", "-1.5", "1E+2", "-0.0", "0", "9" * 5000, "18446744073709551616"])
def test_a_number_is_exported_as_it_was_written(number: str) -> None:
    assert written(f'[{{"n": {number}}}]') == f"n\r\n{number}\r\n"
    assert written(f'[{{"n": {number}, "m": "x"}}, {{"n": "=", "m": [{number}]}}]') == (
        f"n,m\r\n{number},x\r\n'=,[{number}]\r\n"
    )


def test_files_of_one_shape_make_no_class_each() -> None:
    gc.collect()
    before = len(Struct.__subclasses__())
    for number in range(20):
        assert written(f'[{{"one": {number}, "shape": "x"}}]') == f"one,shape\r\n{number},x\r\n"
    assert len(Struct.__subclasses__()) <= before + 1


def test_of_a_name_that_comes_twice_the_last_value_counts_wherever_it_comes() -> None:
    assert written('[{"a": 1, "b": "x", "a": "y,"}, {"b": "", "a": "z", "a": 2}]') == 'a,b\r\n"y,",x\r\n2,\r\n'


def test_only_texts_are_neutralised_and_only_if_wanted() -> None:
    document = '[{"=a": "=1+1", "b": -1, "c": -1.5, "d": "@x", "e": ["=1"]}]'

    assert written(document) == '\'=a,b,c,d,e\r\n\'=1+1,-1,-1.5,\'@x,"[""=1""]"\r\n'
    assert written(document, neutralise=False) == '=a,b,c,d,e\r\n=1+1,-1,-1.5,@x,"[""=1""]"\r\n'


def test_rows_go_on_across_blocks_with_the_header_of_all() -> None:
    rows = [{"n": number} for number in range(2 * BLOCK_ROWS)] + [{"late": "x,y"}]

    records = read(written(json.dumps(rows)))

    assert records[0] == ["n", "late"]
    assert records[1:-1] == [[str(number), ""] for number in range(2 * BLOCK_ROWS)]
    assert records[-1] == ["", "x,y"]


def test_no_rows_and_rows_without_keys_make_an_empty_file() -> None:
    assert written("[]") == ""
    assert written("[{}, {}]") == ""
