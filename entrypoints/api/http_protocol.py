"""The server's HTTP protocol, with two things that uvicorn leaves out: a bound on a request's head, and problem documents for
requests that cannot be read as HTTP and so never reach the application.
"""

from __future__ import annotations

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from entrypoints.api.models import ProblemDocument
from entrypoints.api.problems import HEAD_TOO_LARGE, INVALID_REQUEST, PROBLEM_JSON, Kind

MAX_HEAD_BYTES = 64 * 1024  # request line and headers; far more than browsers and proxies send


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    _is_in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser; but not without end while it is in the head, which it keeps in memory."""
        super().data_received(data)
        if not self._is_in_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HEAD_TOO_LARGE, f"request line and headers may have {MAX_HEAD_BYTES} bytes in all")

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See HttpToolsProtocol."""
        self._is_in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol: answer what is no HTTP, and close."""
        self._refuse(INVALID_REQUEST, "this cannot be read as HTTP/1.1")

    def _refuse(self, kind: Kind, detail: str) -> None:
        # uvicorn declares it as always there; it is not until the first head is complete.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.transport.close()  # an answer in between would be taken for that of the request before
            return
        document = ProblemDocument(type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance="/")
        body = msgspec.json.encode(document)
        head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (PROBLEM_JSON, len(body))
        self.transport.write(STATUS_LINE[kind.status] + head + body)
        self.transport.close()
