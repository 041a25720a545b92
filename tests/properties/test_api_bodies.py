"""Whatever a client sends, the API answers by its rules: never a 5xx, and what it keeps is what was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.events import Created
from entrypoints.api.new_job import MAX_NESTING, is_nested_deeper, read_new_job, read_new_job_slowly
from entrypoints.api.option_errors import OPTIONS
from entrypoints.api.problems import Problem
from tests.api_under_test import JOB_TYPES, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.properties.effort import effort

# JSON values, with every text that JSON can write down: NUL and lone surrogates too.
_texts = st.text(st.characters(codec=None, categories=None, exclude_categories=()), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def _json_texts(draw: st.DrawFn) -> bytes:
    """JSON as various encoders write it (NaN and Infinity too, which is a common mistake of theirs)."""
    value = draw(_values)
    text = json.dumps(
        value, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " :\n")]))
    )
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _damaged(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """The text with a few of its bytes replaced, taken out or put in: nearly right is the hard part."""
    text = bytearray(draw(texts))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"[", b"}", b","])
        )
    return bytes(text)


_option_values = st.sampled_from(
    [
        *(b"null", b"1", b"0", b"-1", b"3.0", b"1.5", b"1e3", b"1e400", b"1001", b"0.001", b"604800", b"true"),
        *(b'"2026-01-27T10:30:00Z"', b'"2026-01-27t10:30:00.123456789+23:59"', b'"2026-01-27T10:30:00"'),
        *(
            b'"1969-01-01T00:00:00Z"',
            b'"9999-12-31T23:59:59-12:00"',
            b'"2026-02-30T00:00:00Z"',
            b'"0001-01-01T00:00:00+14:00"',
        ),
        *(b"[]", b'["a","a"]', b'[""]', b'["\\u0000"]', b'["\\ud800"]', b'["a", 1]', b"[" + b'"a",' * 10 + b'"b"]'),
    ]
)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    type_ = draw(st.sampled_from([b'"CSV_EXPORT"', b'"EMAIL_SEND"', b'"NOPE"', b"1", b'"\\ud800"']) | _json_texts())
    payload = draw(_damaged(_json_texts()))
    members = [b'"type":' + type_, b'"payload":' + payload]
    if draw(st.booleans()):
        members.append(b'"priority":' + draw(st.sampled_from([b'"high"', b'"default"', b'"low"', b"null"])))
    for name in draw(st.sets(st.sampled_from(OPTIONS), max_size=2)):
        members.append(b'"%b":' % name.encode() + draw(_option_values | _json_texts()))
    if draw(st.booleans()):
        members.append(draw(_json_texts()) + b":" + draw(_json_texts()))
    return b"{" + b",".join(draw(st.permutations(members))) + b"}"


_any_body = st.binary(max_size=200) | _json_texts() | _damaged(_json_texts()) | _bodies() | _damaged(_bodies())


class Api:
    """The application over fakes, called directly, many times in one event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.log = FakeEventLog()
        self._app: Any = make_api(self.log, FakeHealthReader())
        self._runner = runner

    def answer_to(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        """Status and body of the application's answer; raises what escapes it."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        whole = {"type": "http", "query_string": b"", "root_path": "", "http_version": "1.1", "headers": [], **scope}
        self._runner.run(self._app(whole, receive, send))
        return sent[0]["status"], sent[1]["body"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with asyncio.Runner() as runner:
        yield Api(runner)


@effort(quick=300, long=20_000)
@given(_any_body)
@example(b'{"type":"CSV_EXPORT","payload":"\\ud800"}')
@example(b'{"type":"CSV_EXPORT","payload":' + b"9" * 5000 + b"}")
@example(b'{"type":"CSV_EXPORT","payload":1e400}')
@example(b'{"type":"CSV_EXPORT","payload":NaN}')
@example(b'{"type":"CSV_EXPORT\\u0000","payload":{"a":1,"a":2}}')
def test_any_body_is_kept_as_it_was_sent_or_refused(api: Api, body: bytes) -> None:
    before = len(api.log.events)

    status, answer = api.answer_to(
        {"method": "POST", "path": "/jobs", "headers": [(b"content-type", b"application/json")]}, body
    )

    if status == 201:
        [event] = api.log.events[before:]
        assert isinstance(event.event, Created)
        assert event.content is not None
        assert event.content in body
        assert json.loads(answer) == {"jobId": event.job_id}
        status, shown = api.answer_to(
            {"method": "GET", "path": f"/jobs/{event.job_id}", "query_string": b"include=payload"}, b""
        )
        assert status == 200
        assert shown.endswith(b'"payload":' + event.content + b"}")
    else:
        assert status in (400, 413)
        assert json.loads(answer)["status"] == status
        assert len(api.log.events) == before


@effort(quick=300, long=20_000)
@given(_any_body)
def test_both_ways_of_reading_a_body_agree(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        with pytest.raises(Problem):
            read_new_job(body, JOB_TYPES)
        return
    assert _outcome(read_new_job, body) == _outcome(read_new_job_slowly, body)


def _outcome(read: Any, body: bytes) -> object:
    try:
        new_job = read(body, JOB_TYPES)
    except Problem as problem:
        return problem.kind, str(problem)
    return new_job.type, new_job.priority, bytes(new_job.payload)


@effort(quick=200, long=10_000)
@given(_json_texts(), st.integers(1, 6))
def test_nesting_is_what_the_parser_finds(text: bytes, depth: int) -> None:
    def depth_of(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth_of, value.values()), default=0)
        return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0

    assert is_nested_deeper(text, depth) == (depth_of(json.loads(text.decode("utf-8", "surrogatepass"))) > depth)


@effort(quick=200, long=10_000)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "BREW", ""]),
    st.text(max_size=12) | st.sampled_from(["", "x" * 36, "/", "0190f5fe-7c00-7a00-8000-000000000000"]),
    st.sampled_from(["", "/events", "/", "/../x"]),
    st.binary(max_size=20) | st.binary(max_size=10).map(lambda noise: b"include=" + noise),
    st.lists(
        st.tuples(
            st.sampled_from([b"content-type", b"content-length", b"idempotency-key", b"content-encoding", b"host"]),
            st.binary(max_size=12) | st.sampled_from([b"application/json", b"17", b'"k"']),
        ),
        max_size=4,
    ),
    _any_body,
)
def test_no_request_is_answered_as_our_fault(
    api: Api, method: str, segment: str, suffix: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    for path in (f"/jobs/{segment}{suffix}", "/jobs", f"/{segment}"):
        # A server lets no length through that is no number.
        good = [(name, value) for name, value in headers if name != b"content-length" or value.isdigit()]
        scope = {"method": method, "path": path, "query_string": query, "headers": good}
        status, _ = api.answer_to(scope, body)
        assert status < 500


@effort(quick=30, long=3_000)
@given(texts=st.lists(_damaged(_json_texts()), min_size=1, max_size=20))
def test_what_is_accepted_as_a_payload_postgresql_keeps(empty_postgres_url: str, texts: list[bytes]) -> None:
    accepted = []
    for text in texts:
        try:
            new_job = read_new_job(b'{"type":"CSV_EXPORT","payload":' + text + b"}", JOB_TYPES)
        except Problem:
            continue
        accepted.append(bytes(new_job.payload).decode())

    with psycopg.connect(empty_postgres_url) as db:
        rows = db.execute(
            "select t::json::text from unnest(%s::text[]) with ordinality u (t, n) order by n", [accepted]
        )
        assert [row[0] for row in rows] == accepted


def test_the_bound_on_nesting_is_one_that_postgresql_reads(empty_postgres_url: str) -> None:
    deep = "[" * MAX_NESTING + "]" * MAX_NESTING
    with psycopg.connect(empty_postgres_url) as db:
        assert db.execute("select %s::json::text", [deep]).fetchone() == (deep,)
