"""One job, one spelling of its id."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidJobId
from domain.ids import parse_job_id

ID = "0190f5fe-7c00-7a00-8000-00000000abcd"


def test_a_uuid_is_given_back_in_lower_case() -> None:
    assert parse_job_id(ID) == ID
    assert parse_job_id(ID.upper()) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        ID.replace("-", ""),
        f" {ID}",
        ID[:-1],
        ID[:-1] + "g",
        "0190f5fe7c00-7a00-8000-0000-0000abcd",
        "0190f5fe-7c00-7a00-8000-00000000abc٣",  # a digit, but not one of ASCII
    ],
)
def test_any_other_spelling_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidJobId) as refused:
        parse_job_id(text)
    assert refused.value.text == text


@given(st.text(max_size=40))
def test_any_text_is_judged_without_another_error(text: str) -> None:
    with suppress(InvalidJobId):
        assert parse_job_id(text) == text.lower()


@given(st.uuids())
def test_every_uuid_is_taken(uuid: object) -> None:
    assert parse_job_id(str(uuid)) == str(uuid)
