"""A TCP proxy between a client and its server that swallows the reply to a chosen request and then cuts the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class LossyProxy:
    """Passes everything on, until told to swallow."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._wanted: bytes | None = None
        self.port = 0
        self.swallowed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def swallow_reply_to(self, request: bytes) -> None:
        """The next request that contains these bytes reaches the server; its reply is dropped and the connection cut."""
        self._wanted = request

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        cut = asyncio.Event()

        async def requests() -> None:
            while data := await reader.read(1 << 20):
                if self._wanted is not None and self._wanted in data:
                    self._wanted = None
                    cut.set()
                server_writer.write(data)
                await server_writer.drain()

        async def replies() -> None:
            while data := await server_reader.read(1 << 20):
                if cut.is_set():
                    self.swallowed += 1
                    return
                writer.write(data)
                await writer.drain()

        tasks = {asyncio.create_task(requests()), asyncio.create_task(replies())}
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks -= tasks
        for end in (writer, server_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()


@asynccontextmanager
async def lossy_proxy(port: int) -> AsyncIterator[LossyProxy]:
    """A proxy to a server on the loopback address, on a free port of its own."""
    proxy = LossyProxy(port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy._tasks:
            task.cancel()
        await asyncio.sleep(0)
