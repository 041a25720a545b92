"""The text of an error: always there, always storable, never long."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapters.job_types.error_text import MAX_CHARACTERS, error_text
from tests.properties.effort import effort

any_text = st.text(st.characters(), max_size=200)  # lone surrogates and NUL included


def text_of(exc: BaseException) -> str:
    encoded = error_text(exc)
    assert b"\\u0000" not in encoded
    return msgspec.json.decode(encoded, type=str)


@effort(quick=150, long=5000)
@given(message=any_text, repeated=st.integers(1, 100))
def test_any_message_becomes_a_text_that_can_be_stored(message: str, repeated: int) -> None:
    text = text_of(ValueError(message * repeated))

    assert text.startswith("ValueError")
    text.encode()  # no lone surrogate
    assert "\0" not in text
    if len(message) * repeated < MAX_CHARACTERS // 10:
        expected = (message * repeated).replace("\0", "␀").encode("utf-8", "backslashreplace").decode()
        assert text == (f"ValueError: {expected}" if expected else "ValueError")


def test_a_long_message_is_cut_with_a_mark() -> None:
    text = text_of(ValueError("x" * 50_000_000))

    assert text.startswith("ValueError: xxx")
    assert text.endswith("… (cut: 50000012 characters)")
    assert len(text) < MAX_CHARACTERS + 100


def test_an_error_whose_text_raises_has_a_text() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert text_of(Silent()) == "Silent: (no text: str() raised SystemExit)"


def test_an_error_whose_text_is_no_plain_str_has_a_text() -> None:
    class Odd(str):
        def __format__(self, _: str) -> str:
            raise RuntimeError

        def __len__(self) -> int:
            raise RuntimeError

        def __getitem__(self, _: Any) -> str:
            raise RuntimeError

        def encode(self, *_: Any) -> bytes:
            raise RuntimeError

    class Strange(Exception):
        def __str__(self) -> str:
            return Odd("odd")

    class NoText(Exception):
        def __str__(self) -> str:
            return 3  # type: ignore[return-value]  # noqa: PLE0307 - that is the point

    assert text_of(Strange()) == "Strange: odd"
    assert text_of(NoText()) == "NoText: (no text: str() raised TypeError)"


def test_a_class_that_hides_its_name_is_named_all_the_same() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError

    class Hidden(Exception, metaclass=Meta):
        pass

    assert text_of(Hidden("here")) == "Hidden: here"


def test_a_group_says_what_is_in_it() -> None:
    group = ExceptionGroup("two of them", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])

    assert text_of(group) == "ExceptionGroup: two of them (2 sub-exceptions): ValueError: a; KeyError: 'b'"


def test_a_deep_group_is_no_endless_text() -> None:
    group: Exception = ValueError("deepest")
    for _ in range(5000):
        group = ExceptionGroup("deeper", [group, ValueError("x" * MAX_CHARACTERS)])

    assert len(text_of(group)) < MAX_CHARACTERS + 100
