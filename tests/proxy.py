"""A TCP proxy between a process and its server that does what networks do: delay, go silent, reset, lose a reply.

It knows no protocol but that a request is answered: "the reply" is all that the server sends between one request and the next.
It runs in the test's own event loop; the process under test may be any.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

_CHUNK = 1 << 16  # bytes
_OPENING = 1024  # bytes of what a client says first, such as its name
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close() sends RST instead of FIN

Fate = Literal["swallowed", "cut before", "cut after"]


class _Planned(Struct, frozen=True):
    """What is to become of the reply to the next request that contains `request`."""

    request: bytes
    fate: Fate


class _Link:
    """One connection of a client, with the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.fate: Fate | None = None  # of the reply that is being waited for
        self.is_answered = False  # what the client sends now begins the next request
        self.is_reset = False  # the end of the client's data is then no end that the server is told of
        self.opening = b""  # what the client said first


class Proxy:
    """Passes everything on until told otherwise. `port` is where clients connect to, on the loopback address.

    `delay`: seconds that each piece of data is held up, in both directions. `accepted`: connections so far. `met`: how many
    replies have met the fate that was planned for them.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._held = b""  # what connections must have opened with to be held back
        self._planned: _Planned | None = None
        self._refuses = False
        self.port = 0
        self.delay = 0.0
        self.accepted = 0
        self.met = 0

    def url(self, server_url: str) -> str:
        """The server's URL with this proxy in place of host and port."""
        parts = urlsplit(server_url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def black_hole(self, *, opened_with: bytes = b"") -> None:
        """Hold back everything, in both directions; connections, also new ones, look alive. `heal` delivers it late.

        `opened_with`: only of connections whose client's first kilobyte contains that, such as its name.
        """
        self._held = opened_with
        self._flows.clear()

    def redirect(self, server_port: int) -> None:
        """From now on, new connections lead to another server."""
        self._server_port = server_port

    def refuse(self) -> None:
        """Reset each new connection at once, until `heal`."""
        self._refuses = True

    def heal(self) -> None:
        """End `black_hole`, `refuse`, `delay` and what was planned for a reply."""
        self.delay = 0.0
        self._refuses = False
        self._planned = None
        self._flows.set()

    def reset(self, *, server_too: bool = True) -> None:
        """Reset all connections. Not `server_too`: the server notices nothing and finishes what it was asked for."""
        for link in list(self._links):
            link.is_reset = True
            _abort(link.client)
            if server_too and link.server is not None:
                _abort(link.server)

    def swallow_reply(self, *, to: bytes = b"") -> None:
        """The next request that contains `to` reaches the server; its reply is lost, the connection stays."""
        self._planned = _Planned(to, "swallowed")

    def cut_before_reply(self, *, to: bytes = b"") -> None:
        """The next request that contains `to` is answered by the server; instead of the reply the client gets a reset."""
        self._planned = _Planned(to, "cut before")

    def cut_after_reply(self, *, to: bytes = b"") -> None:
        """The client gets the first piece of the reply to the next request that contains `to`, then a reset."""
        self._planned = _Planned(to, "cut after")

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        self.accepted += 1
        if self._refuses:
            _abort(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        link = _Link(writer)
        self._links.add(link)
        try:
            if not self._held:
                await self._flows.wait()
            server_reader, link.server = await asyncio.open_connection("127.0.0.1", self._server_port)
            requests = self._spawn(self._pass_requests(link, reader))
            replies = self._spawn(self._pass_replies(link, server_reader))
            await asyncio.wait([requests, replies])
        except OSError:
            pass  # the server is away, and so is this connection
        finally:
            self._links.discard(link)
            for end in (link.client, link.server):
                if end is not None:
                    end.close()
                    with suppress(OSError):
                        await end.wait_closed()

    async def aclose(self) -> None:
        """End everything that is still open."""
        self.heal()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._accepting, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pass_requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        assert link.server is not None
        try:
            while data := await reader.read(_CHUNK):
                link.opening = (link.opening + data)[:_OPENING]
                await self._hold(link)
                if link.is_answered:
                    link.fate, link.is_answered = None, False
                if self._planned is not None and self._planned.request in data:
                    link.fate, self._planned = self._planned.fate, None
                link.server.write(data)
                await link.server.drain()
        except OSError:
            return  # reset by the client: the server is told nothing, as when a network breaks
        if not link.is_reset:
            with suppress(OSError):
                link.server.write_eof()

    async def _pass_replies(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._hold(link)
                link.is_answered = True
                if link.fate is not None and link.fate != "cut after":
                    self.met += 1
                    if link.fate == "swallowed":
                        continue
                    break
                if not link.client.is_closing():
                    link.client.write(data)
                    await link.client.drain()
                if link.fate == "cut after":
                    self.met += 1
                    break
            else:
                link.client.close()
                return
        except OSError:
            pass
        _abort(link.client)
        if link.server is not None:
            _abort(link.server)

    async def _hold(self, link: _Link) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self._held in link.opening:  # so is nothing
            await self._flows.wait()


@asynccontextmanager
async def proxy_to(server: str | int) -> AsyncIterator[Proxy]:
    """A proxy to a server on the loopback address, given by its URL or port."""
    port = server if isinstance(server, int) else urlsplit(server).port
    assert port is not None
    proxy = Proxy(port)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.aclose()


def _abort(end: asyncio.StreamWriter) -> None:
    if (raw := end.get_extra_info("socket")) is not None and not end.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
