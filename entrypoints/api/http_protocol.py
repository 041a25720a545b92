"""The server's HTTP protocol, with what uvicorn leaves out: bounds on the size of a request's head and on the time that a request
takes to arrive, and problem documents for requests that cannot be read as HTTP and so never reach the application.

A request that comes in one piece, as nearly all do, costs no timer.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from entrypoints.api.answers import NOSNIFF
from entrypoints.api.models import ProblemDocument
from entrypoints.api.problems import HEAD_TOO_LARGE, INVALID_REQUEST, PROBLEM_JSON, REQUEST_TOO_SLOW, Kind, sayable_path

MAX_HEAD_BYTES = 64 * 1024  # request line and headers; far more than browsers and proxies send


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. Made by `bounded_protocol`, which sets its times."""

    head_seconds: ClassVar[float]  # from the opening, or the head's first byte, to its last
    body_seconds: ClassVar[float]  # from the head's end to the body's last byte

    _is_in_head = True  # until the first request: what is opened and says nothing is not kept either
    _is_in_body = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _deadline_is_of_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See HttpToolsProtocol."""
        super().connection_made(transport)
        self._set_deadline(of_body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """See HttpToolsProtocol."""
        self._unset_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; but not without end, in bytes or in time, while it is in the head, which it keeps in memory."""
        super().data_received(data)
        if self._is_in_head:
            if self._deadline is None:
                self._set_deadline(of_body=False)
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HEAD_TOO_LARGE, f"request line and headers may have {MAX_HEAD_BYTES} bytes in all")
            return
        self._head_bytes = 0
        if not self._is_in_body:
            self._unset_deadline()
        elif self._deadline is None or not self._deadline_is_of_body:
            self._unset_deadline()
            self._set_deadline(of_body=True)

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See HttpToolsProtocol."""
        self._is_in_head = False
        self._is_in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See HttpToolsProtocol."""
        self._is_in_body = False
        super().on_message_complete()

    def _set_deadline(self, *, of_body: bool) -> None:
        self._deadline_is_of_body = of_body
        seconds = self.body_seconds if of_body else self.head_seconds
        self._deadline = self.loop.call_later(seconds, self._end_slow_request)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_slow_request(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        # uvicorn declares it as always there; it is not until the first head is complete.
        cycle: RequestResponseCycle | None = self.cycle
        is_of_later_head = not self._deadline_is_of_body and cycle is not None and not cycle.response_complete
        if self.flow.read_paused or self.pipeline or is_of_later_head:
            # It is this side that does not go on: an earlier request of this connection is being answered.
            self._set_deadline(of_body=self._deadline_is_of_body)
            return
        if self._deadline_is_of_body:
            self._end_slow_body()
        elif self._head_bytes:
            self._refuse(
                REQUEST_TOO_SLOW, f"request line and headers must be there within {self.head_seconds:g} seconds"
            )
        else:
            self.transport.close()

    def _end_slow_body(self) -> None:
        cycle = self.cycle
        if not cycle.response_started:
            # The application hears that the client is gone, and what it still answers is thrown away.
            cycle.disconnected = True
            self._write_problem(
                REQUEST_TOO_SLOW,
                f"the body must be there within {self.body_seconds:g} seconds",
                instance=cycle.scope["path"],
            )
            cycle.message_event.set()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol: answer what is no HTTP, and close."""
        self._refuse(INVALID_REQUEST, "this cannot be read as HTTP/1.1")

    def _refuse(self, kind: Kind, detail: str) -> None:
        # uvicorn declares it as always there; it is not until the first head is complete.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.transport.close()  # an answer in between would be taken for that of the request before
            return
        self._write_problem(kind, detail)
        self.transport.close()

    def _write_problem(self, kind: Kind, detail: str, *, instance: str = "/") -> None:
        document = ProblemDocument(
            type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=sayable_path(instance)
        )
        body = msgspec.json.encode(document)
        head = b"%b: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (
            *NOSNIFF,
            PROBLEM_JSON,
            len(body),
        )
        self.transport.write(STATUS_LINE[kind.status] + head + body)


def bounded_protocol(*, head_seconds: float, body_seconds: float) -> type[BoundedHttpProtocol]:
    """The protocol with these times."""
    return type("_Bounded", (BoundedHttpProtocol,), {"head_seconds": head_seconds, "body_seconds": body_seconds})
