"""One HTTP/1.1 connection to one API, kept alive, one request at a time: a tenth of the CPU that a full client takes.

Anything that is not a whole, well-formed answer is an error, and closes the connection.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from msgspec import Struct


class BrokenAnswer(OSError):
    """The server closed the connection before its answer was complete, or said what is no HTTP."""


class HttpAnswer(Struct, frozen=True):
    """`headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """Connects by itself when it is needed."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, *, headers: str = "", body: bytes = b"", timeout: float
    ) -> HttpAnswer:
        """Send one request; `headers` are whole lines, each ending in CRLF. Raises OSError (TimeoutError among them)."""
        try:
            async with asyncio.timeout(timeout):
                return await self._request(method, path, headers, body)
        except BaseException as exc:
            self.close()
            if isinstance(exc, asyncio.IncompleteReadError | asyncio.LimitOverrunError | ValueError):
                raise BrokenAnswer(str(exc)) from exc
            raise

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _request(self, method: str, path: str, headers: str, body: bytes) -> HttpAnswer:
        # A connection that the server has closed meanwhile is no fault: it is not used.
        if self._writer is None or self._reader is None or self._reader.at_eof() or self._writer.is_closing():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        length = f"content-length: {len(body)}\r\n" if method != "GET" else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n{length}{headers}\r\n"
        self._writer.write(head.encode("latin-1") + body)
        answer_head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = answer_head[:-4].split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = HttpAnswer(
            int(status_line.split(" ", 2)[1]),
            found,
            await self._reader.readexactly(int(found.get("content-length", 0))),
        )
        if found.get("connection", "").lower() == "close":
            self.close()
        return answer
