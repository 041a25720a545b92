"""What an endpoint answers: a status, headers and a body of bytes, sent as two ASGI messages and nothing else.

It stands in for the framework's response classes, whose rendering costs more than a whole request does here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from litestar.types import Receive, Scope, Send

Header = tuple[bytes, bytes]
# An endpoint takes the raw request and answers, or raises what `entrypoints.api.problems` turns into an answer.
Endpoint = Callable[[Scope, Receive], Awaitable["Answer"]]

# On every answer, put there by the server: what a client is sent is what its content type says.
NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
# What is told of jobs may be personal, and is old the moment after.
NO_STORE: Header = (b"cache-control", b"no-store")

_encode = msgspec.json.Encoder().encode


class Answer:
    """One HTTP answer; itself an ASGI application, so the framework sends it as it is."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, *, content_type: bytes, headers: Iterable[Header] = ()) -> None:
        self.status = status
        self.body = body
        self.headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. For HEAD the server leaves the body out, as the length still tells it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def json_answer(value: Any, *, status: int = 200, headers: Iterable[Header] = ()) -> Answer:
    """An answer of JSON, which nobody keeps; `value` is anything that msgspec encodes."""
    return Answer(status, _encode(value), content_type=b"application/json", headers=(NO_STORE, *headers))
