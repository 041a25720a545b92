"""What the document says of the texts of a request is what is asked of them: neither more nor less."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.reason import InvalidReason, checked_reason
from domain.tags import InvalidTags, checked_tags
from entrypoints.api.event_query import read_event_query
from entrypoints.api.idempotency import read_idempotency_key
from entrypoints.api.list_query import read_list_query
from entrypoints.api.openapi import openapi_document
from entrypoints.api.preconditions import read_if_match
from entrypoints.api.problems import Problem

_DOCUMENT = openapi_document(["CSV_EXPORT"])
# What a client can put into a header, and texts that are nearly right.
_HEADERS = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
    st.text(st.sampled_from('aZ09 !"\\,;:*-W/'), max_size=12),
    st.text(st.sampled_from("aZ09"), min_size=250, max_size=260).flatmap(
        lambda key: st.sampled_from([key, f'"{key}"'])
    ),
).map(str.strip)
_TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\0\n\x1f\x7f\x85\u200b")), max_size=70)


def _parameter(path: str, method: str, name: str) -> dict[str, Any]:
    [found] = [one for one in _DOCUMENT["paths"][path][method]["parameters"] if one["name"] == name]
    schema: dict[str, Any] = found["schema"]
    return schema


def _fits(schema: dict[str, Any], text: str) -> bool:
    """By the schema's words for texts. Python's `$` also stands before a last line feed, which that of ECMA-262 does not."""
    pattern = schema.get("pattern", "").replace("$", r"\Z") if schema.get("pattern", "").endswith("$") else ""
    return (
        schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
        and re.search(pattern, text) is not None
    )


def _accepts(read: Callable[[], object]) -> bool:
    try:
        read()
    except (Problem, InvalidTags, InvalidReason):
        return False
    return True


@given(_HEADERS)
@example('"a \\" b \\\\"')
@example('"a \\ b"')
@example('""')
@example("")
def test_the_idempotency_key(text: str) -> None:
    schema = _parameter("/jobs", "post", "Idempotency-Key")

    assert _fits(schema, text) == _accepts(lambda: read_idempotency_key([(b"idempotency-key", text.encode())]))


@given(_HEADERS.filter(bool))
@example("*")
@example('"3"')
@example('W/"3" , "4"')
@example('"3",')
def test_the_if_match(text: str) -> None:
    for command in ("cancel", "retry"):
        schema = _parameter(f"/jobs/{{id}}/{command}", "post", "If-Match")

        assert _fits(schema, text) == _accepts(lambda: read_if_match([(b"if-match", text.encode())]))


@given(st.one_of(_HEADERS, st.integers().map(str)))
@example("9" * 5000)
def test_the_last_event_id(text: str) -> None:
    headers = {b"last-event-id": text.encode()}
    for path in ("/events", "/jobs/{id}/events"):
        schema = _parameter(path, "get", "Last-Event-ID")

        assert _fits(schema, text) == _accepts(lambda: read_event_query(b"", headers, of_job=False))


@given(
    st.one_of(
        _TEXTS, st.lists(st.sampled_from(["Created", "Cancelled", "Cancel", "", "Failed "]), max_size=4).map(",".join)
    )
)
def test_the_event_types(text: str) -> None:
    for path in ("/events", "/jobs/{id}/events"):
        schema = _parameter(path, "get", "type")

        assert _fits(schema, text) == _accepts(lambda: read_event_query(_query(type=text), {}, of_job=True))


@given(st.one_of(_TEXTS, st.text(st.sampled_from("a,"), max_size=8)))
def test_the_job_types_of_events(text: str) -> None:
    schema = _parameter("/events", "get", "jobType")

    assert _fits(schema, text) == _accepts(lambda: read_event_query(_query(jobType=text), {}, of_job=False))


@pytest.mark.parametrize("name", ["type", "tag"])
@given(text=_TEXTS)
@example(text="a" * 65)
@example(text="")
def test_what_jobs_are_listed_by(name: str, text: str) -> None:
    schema = _parameter("/jobs", "get", name)

    assert _fits(schema, text) == _accepts(lambda: read_list_query(_query(**{name: text})))


@given(_TEXTS)
@example("a" * 65)
@example("")
def test_the_tags_of_a_new_job(text: str) -> None:
    for model in ("NewJob", "BatchJob"):
        [tags] = [
            one for one in _DOCUMENT["components"]["schemas"][model]["properties"]["tags"]["anyOf"] if "items" in one
        ]

        assert _fits(tags["items"], text) == _accepts(lambda: checked_tags([text]))


@given(_TEXTS)
@example("a" * 1000)
@example("a" * 1001)
def test_the_reason(text: str) -> None:
    reasons = _DOCUMENT["components"]["schemas"]["Reason"]["properties"]["reason"]["anyOf"]
    [schema] = [one for one in reasons if one["type"] == "string"]

    assert _fits(schema, text) == _accepts(lambda: checked_reason(text))


def _query(**values: str) -> bytes:
    return "&".join(f"{name}={quote(value)}" for name, value in values.items()).encode()
