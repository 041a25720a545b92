"""GET /metrics on a port of its own, from a thread: a process that is busy is asked all the same.

What is counted belongs to the event loop, so it is read there, between two of its steps, and becomes text here. A loop that does
not answer is not waited for: 503, and Prometheus says that the process is not up.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Self

from prometheus_client import Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

GATHER_SECONDS = 5.0  # that the event loop may take to answer; Prometheus itself waits for 10, by default
_IDLE_SECONDS = 60.0  # that a connection may be silent: Prometheus keeps its own, and asks every 15 seconds or so

Gather = Callable[[], Awaitable[list[Metric]]]


class MetricsServer:
    """Serves from entering it to leaving it. `ports`: they are tried in turn, and the first that is free is taken."""

    def __init__(self, gather: Gather, *, host: str, ports: Iterable[int]) -> None:
        self._gather = gather
        self._host = host
        self._ports = ports
        self._server: _Server | None = None

    @property
    def port(self) -> int | None:
        """The port that was free; None: there was none, and nothing is served."""
        return None if self._server is None else self._server.server_port

    async def __aenter__(self) -> Self:
        """Raises OSError where the address cannot be listened on for another reason than that it is in use."""
        loop = asyncio.get_running_loop()
        for port in self._ports:
            try:
                self._server = _Server(self._host, port, _Asker(self._gather, loop))
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    continue
                raise
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
            break
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Its thread looks twice a second whether it should end, and nobody is to wait for that.
        if self._server is not None:
            threading.Thread(target=self._server.end, name="end metrics", daemon=True).start()


class _Asker:
    """Asks the event loop for what it has counted, and adds what the operating system says of the process."""

    def __init__(self, gather: Gather, loop: asyncio.AbstractEventLoop) -> None:
        self._gather = gather
        self._loop = loop
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterable[Metric]:
        """All families. Raises TimeoutError if the loop does not answer, RuntimeError if it is closed."""
        work = self._gathered()
        try:
            found = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise
        try:
            families = found.result(GATHER_SECONDS)
        except TimeoutError:
            found.cancel()
            raise
        return [*families, *self._process.collect()]

    async def _gathered(self) -> list[Metric]:
        return await self._gather()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, asker: _Asker) -> None:
        self.asker = asker
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without what HTTPServer adds: it asks the DNS for a name that nobody here wants."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def end(self) -> None:
        """Serve no more; blocks for a moment."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = -1  # head and body in one piece: the kernel would hold the second one back
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"there is only /metrics here\n", "text/plain; charset=utf-8")
            return
        try:
            families = self.server.asker.collect()
        except (TimeoutError, RuntimeError):
            self._answer(503, b"the event loop of this process does not answer\n", "text/plain; charset=utf-8")
            return
        encode, content_type = choose_encoder(self.headers.get("accept", ""))
        self._answer(200, encode(_Collected(families)), content_type)

    do_HEAD = do_GET  # noqa: N815 - as above

    def log_message(self, *_arguments: object) -> None:
        """Nobody wants a line for each scrape."""

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Collected(Collector):
    """What an encoder takes: something to collect from."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
