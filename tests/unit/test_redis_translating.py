"""What redis-py lets through is told apart: an outage from a mistake."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from adapters.redis.translating import translated
from commands.ports import Unavailable


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("OOM command not allowed"),
        ConnectionResetError(104, "reset"),
        TimeoutError(),
        # As uvloop words it when a connection was reset while nobody looked.
        RuntimeError("unable to perform operation on <TCPTransport closed=True 0x1>; the handler is closed"),
    ],
)
def test_what_the_network_or_the_server_did_is_an_outage(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, translated("read the queue"):
        raise error
    assert str(caught.value).startswith("read the queue: ")
    assert caught.value.__cause__ is error


def test_a_mistake_of_our_own_is_none() -> None:
    with pytest.raises(RuntimeError, match="already running"), translated("read the queue"):
        raise RuntimeError("already running")
