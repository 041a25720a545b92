"""How the body of POST /jobs is read."""

from __future__ import annotations

import time

import pytest

from entrypoints.api.new_job import MAX_NESTING, is_nested_deeper, read_new_job
from entrypoints.api.problems import INVALID_BODY, MALFORMED_JSON, Problem

TYPES = ("CSV_EXPORT", "EMAIL_SEND")


def body_of(payload: bytes) -> bytes:
    return b'{"type": "CSV_EXPORT", "payload": ' + payload + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"0",
        b'{ "a" : [ 1 , 2 ] }',
        b'{"a": 1, "a": 2}',
        b"1e400",
        b"-1E-400",
        b"9" * 5000,
        b'"\\u0000"',
        b'"\\ud800"',
        b'{"\\udfff\\ud800": ["\\ud800x"]}',
        b'"\\ud83d\\ude00"',
        '"😀 \u2028"'.encode(),
        b'"\x7f"',
        b'["\\"[[[", "\\\\"]',
        b"[" * MAX_NESTING + b"]" * MAX_NESTING,
        b'{"a":' * MAX_NESTING + b"1" + b"}" * MAX_NESTING,
    ],
)
def test_any_json_is_a_payload_and_keeps_its_bytes(payload: bytes) -> None:
    new_job = read_new_job(body_of(payload), TYPES)

    assert bytes(new_job.payload) == payload
    assert new_job.type == "CSV_EXPORT"
    assert new_job.priority == "default"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"NaN",
        b"-Infinity",
        b"Infinity",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"'a'",
        b'"\xff"',
        b'"\xed\xa0\x80"',  # a surrogate in UTF-8
        b'"\xc0\x80"',  # NUL in two bytes
        b'"\n"',
        b'"\x00"',
        b'"\\x41"',
        b'"\\u00g0"',
        b'"\\ud8"',
        b"[1,]",
        b'{"a":1,}',
        b"{a:1}",
        b"[}",
        b"[1",
        b"tru",
        b"// comment\n1",
        b"\xa01",
        b"\xef\xbb\xbf1",
    ],
)
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_new_job(body_of(payload), TYPES)

    assert refused.value.kind is MALFORMED_JSON


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"}", b'{"type"', b"\xff", b"\xfe\xff\x00{", b'{"type":"CSV_EXPORT"} {}']
)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_new_job(body, TYPES)

    assert refused.value.kind is MALFORMED_JSON


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"{}"', b"true"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Problem, match="must be an object") as refused:
        read_new_job(body, TYPES)

    assert refused.value.kind is INVALID_BODY


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"{}", {"type": "missing", "payload": "missing"}),
        (b'{"type": "CSV_EXPORT"}', {"payload": "missing: send null"}),
        (b'{"payload": {}}', {"type": "missing: must be one of CSV_EXPORT, EMAIL_SEND"}),
        (b'{"type": "NOPE", "payload": 1}', {"type": "must be one of CSV_EXPORT, EMAIL_SEND, but is 'NOPE'"}),
        (b'{"type": "csv_export", "payload": 1}', {"type": "but is 'csv_export'"}),
        (b'{"type": "\\ud800", "payload": 1}', {"type": r"but is '\ud800'"}),
        (b'{"type": "CSV_EXPORT\\u0000", "payload": 1}', {"type": r"but is 'CSV_EXPORT\x00'"}),
        (b'{"type": ["CSV_EXPORT"], "payload": 1}', {"type": "must be a text"}),
        (b'{"type": null, "payload": 1}', {"type": "must be a text"}),
        (b'{"type": "CSV_EXPORT", "payload": 1, "priority": "urgent"}', {"priority": "must be one of high, default"}),
        (b'{"type": "CSV_EXPORT", "payload": 1, "priority": null}', {"priority": "must be a text"}),
        (b'{"type": 1, "priority": 2}', {"type": "a text", "priority": "a text", "payload": "missing"}),
    ],
)
def test_each_field_that_is_wrong_is_named_with_what_is_allowed(body: bytes, wrong: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        read_new_job(body, TYPES)

    assert refused.value.kind is INVALID_BODY
    assert {error.field for error in refused.value.errors} == set(wrong)
    for error in refused.value.errors:
        assert wrong[error.field] in error.detail
        assert error.pointer == f"#/{error.field}"
        assert f"{error.field} {error.detail}" in str(refused.value)


def test_fields_that_nobody_knows_are_ignored() -> None:
    new_job = read_new_job(b'{"type": "CSV_EXPORT", "payload": 1, "colour": [{"a": "\\ud800"}]}', TYPES)

    assert bytes(new_job.payload) == b"1"


def test_of_repeated_names_the_last_counts_in_both_ways_of_reading() -> None:
    quick = read_new_job(b'{"payload": 1, "type": "NOPE", "payload": 2, "type": "CSV_EXPORT"}', TYPES)
    slow = read_new_job(b'{"payload": "\\ud800", "type": "NOPE", "payload": 2, "type": "CSV_EXPORT"}', TYPES)

    assert bytes(quick.payload) == bytes(slow.payload) == b"2"


@pytest.mark.parametrize(
    "deep", [b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100_000, b"[{" * 500_000]
)
def test_what_is_nested_too_deep_is_refused(deep: bytes) -> None:
    with pytest.raises(Problem, match="nested deeper than 64") as refused:
        read_new_job(body_of(deep), TYPES)

    assert refused.value.kind is INVALID_BODY


@pytest.mark.parametrize(
    ("text", "depth", "is_deeper"),
    [
        (b"[[]]", 2, False),
        (b"[[]]", 1, True),
        (b"[]" * 50, 1, False),
        (b'["[[[[", "]"]', 1, False),
        (rb'["\"[[[["]', 1, False),
        (rb'["\\", [[]]]', 3, False),
        (rb'["\\", [[]]]', 2, True),
        (rb'["\\\"[", "\\\\"]', 1, False),
        (b'[{"a": [1, 2, {"b": {}}]}]', 5, False),
        (b'[{"a": [1, 2, {"b": {}}]}]', 4, True),
    ],
)
def test_nesting_is_counted_outside_of_strings(text: bytes, depth: int, *, is_deeper: bool) -> None:
    assert is_nested_deeper(text, depth) is is_deeper


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 1_000_000,
        b"[]" * 500_000,
        b'"\\' * 500_000,
        b'["' * 500_000,
        rb"[\"" * 300_000,
        b'{"a":[' * 30 * 5000,
        (b"[" * 64 + b"]" * 64) * 8000,
    ],
)
def test_a_hostile_mebibyte_takes_no_long_time(hostile: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Problem):
        read_new_job(hostile, TYPES)

    assert time.process_time() - began < 1.0  # seconds; a check that is not linear would take minutes
