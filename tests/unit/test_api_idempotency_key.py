"""How Idempotency-Key is read: as the draft has it, and as clients send it."""

from __future__ import annotations

import pytest

from entrypoints.api.idempotency import MAX_LENGTH, read_idempotency_key
from entrypoints.api.problems import INVALID_KEY, Problem


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b'"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b"  abc ", "abc"),
        (b"YWJj+/==", "YWJj+/=="),
        (rb'"with \"quotes\" and \\ and spaces"', r'with "quotes" and \ and spaces'),
        (b'"a,b;c"', "a,b;c"),
        (b"k" * MAX_LENGTH, "k" * MAX_LENGTH),
    ],
)
def test_a_quoted_string_and_a_bare_token_are_keys(sent: bytes, key: str) -> None:
    assert read_idempotency_key([(b"accept", b"*/*"), (b"idempotency-key", sent)]) == key


def test_without_the_header_there_is_no_key() -> None:
    assert read_idempotency_key([(b"accept", b"*/*")]) is None


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b'""',
        b'"',
        b'"abc',
        b'abc"',
        rb'"\n"',
        b"a b",
        b"a,b",
        b"\xff",
        b'"\xc3\xa4"',
        b'"a\x00"',
        b"k" * (MAX_LENGTH + 1),
        b'"' + b'"' * 100_000,
        b'"' + rb"\"" * 100_000,
    ],
)
def test_what_is_no_key_is_refused(sent: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_idempotency_key([(b"idempotency-key", sent)])

    assert refused.value.kind is INVALID_KEY
    assert refused.value.errors[0].field == "Idempotency-Key"


def test_two_keys_are_refused() -> None:
    with pytest.raises(Problem, match="more than once"):
        read_idempotency_key([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")])
