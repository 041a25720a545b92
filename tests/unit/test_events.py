"""How events are written into the log and read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given

from domain.errors import UnknownEventType
from domain.events import (
    EVENT_TYPES,
    Cancelled,
    Created,
    Queued,
    Started,
    decode_data,
    encode_data,
    queues_at_once,
    type_name,
)
from tests.properties.effort import effort
from tests.properties.histories import History, histories


@given(histories())
@effort(quick=50, long=2_000)
def test_what_is_written_is_read_again_and_written_the_same(history: History) -> None:
    for recorded in history.recorded:
        data = encode_data(recorded.event)
        assert decode_data(type_name(recorded.event), data) == recorded.event
        assert encode_data(decode_data(type_name(recorded.event), data.decode())) == data


def test_the_log_speaks_camel_case_and_leaves_out_what_was_not_said() -> None:
    created = Created(type="T", priority="high", attempt=1, used=0, max_attempts=3)
    assert json.loads(encode_data(created)) == {
        "type": "T",
        "priority": "high",
        "attempt": 1,
        "used": 0,
        "maxAttempts": 3,
    }


def test_a_cancelled_tells_an_outcome_only_where_its_attempt_was_lost() -> None:
    assert json.loads(encode_data(Cancelled(1, "w"))) == {"attempt": 1, "worker": "w"}
    assert json.loads(encode_data(Cancelled(1, "w", "lost"))) == {"attempt": 1, "worker": "w", "outcome": "lost"}
    with pytest.raises(msgspec.ValidationError):
        decode_data("Cancelled", b'{"attempt": 1, "worker": "w", "outcome": "error"}')


def test_a_field_of_a_newer_release_is_passed_over() -> None:
    assert decode_data("Started", b'{"attempt": 1, "worker": "w", "region": "eu"}') == Started(1, "w")


def test_a_type_of_a_newer_release_stops_the_reader_and_is_named() -> None:
    with pytest.raises(UnknownEventType) as refused:
        decode_data("Paused", b"{}")
    assert refused.value.event_type == "Paused"
    assert "Paused" in str(refused.value)


def test_data_of_another_type_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_data("Started", b'{"attempt": "one", "worker": "w"}')


def test_every_type_is_known_by_its_own_name() -> None:
    assert {name: cls.__name__ for name, cls in EVENT_TYPES.items()} == {name: name for name in EVENT_TYPES}


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Started(1, "w").attempt = 2  # type: ignore[misc]


def test_only_created_without_a_wait_and_queued_make_an_entry() -> None:
    at_once = Created(type="T", priority="high", attempt=1, used=0, max_attempts=3)
    assert queues_at_once(at_once)
    assert queues_at_once(Queued(type="T", priority="high", attempt=1, used=0, max_attempts=3))
    assert not queues_at_once(msgspec.structs.replace(at_once, delay=0.0))
    assert not queues_at_once(msgspec.structs.replace(at_once, run_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert not queues_at_once(Started(1, "w"))
