"""The network of a cluster under test: a TCP proxy for each pair of process and server, for tests that are plain functions.

The proxies (tests/proxy.py) run in an event loop in a thread of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.faults.loop_thread import LoopThread
from tests.proxy import Proxy


class Link:
    """One proxy, between a process and a server. See Proxy for what its methods do."""

    def __init__(self, thread: LoopThread, proxy: Proxy) -> None:
        self._thread = thread
        self._proxy = proxy

    def url(self, server_url: str) -> str:
        return self._proxy.url(server_url)

    @property
    def met(self) -> int:
        return self._proxy.met

    @property
    def accepted(self) -> int:
        return self._proxy.accepted

    def black_hole(self, *, opened_with: bytes = b"") -> None:
        self._do(lambda: self._proxy.black_hole(opened_with=opened_with))

    def refuse(self) -> None:
        """Reset all connections, and each new one, until `heal`."""
        self._do(self._proxy.refuse)
        self._do(self._proxy.reset)

    def heal(self) -> None:
        self._do(self._proxy.heal)

    def redirect(self, server_port: int) -> None:
        """Lead to another server, and cut the connections to this one."""
        self._do(lambda: self._proxy.redirect(server_port))
        self._do(self._proxy.reset)

    def delay(self, seconds: float) -> None:
        self._do(lambda: setattr(self._proxy, "delay", seconds))

    def reset(self, *, server_too: bool = True) -> None:
        self._do(lambda: self._proxy.reset(server_too=server_too))

    def swallow_reply(self, *, to: bytes = b"") -> None:
        self._do(lambda: self._proxy.swallow_reply(to=to))

    def cut_before_reply(self, *, to: bytes = b"") -> None:
        self._do(lambda: self._proxy.cut_before_reply(to=to))

    def cut_after_reply(self, *, to: bytes = b"") -> None:
        self._do(lambda: self._proxy.cut_after_reply(to=to))

    def _do(self, call: Callable[[], None]) -> None:
        async def do() -> None:
            call()

        self._thread.run(do())


class Network:
    """Makes links, and takes them down at its end. A context manager."""

    def __init__(self) -> None:
        self._thread = LoopThread("network")
        self._proxies: list[tuple[Proxy, asyncio.Server]] = []
        self._links: dict[tuple[str, str], Link] = {}

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.run(self._take_down())
        self._thread.__exit__(kind, exc, traceback)

    def link(self, process: str, server: str, *, port: int) -> Link:
        """The link between them; it is made when it is first asked for."""
        if (process, server) not in self._links:
            self._links[process, server] = Link(self._thread, self._thread.run(self._proxy_to(port)))
        return self._links[process, server]

    def links(self, server: str) -> list[Link]:
        """All links to a server."""
        return [link for (_, to), link in self._links.items() if to == server]

    def heal(self) -> None:
        """Let everything flow again."""
        for link in self._links.values():
            link.heal()

    async def _proxy_to(self, port: int) -> Proxy:
        proxy = Proxy(port)
        listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        self._proxies.append((proxy, listener))
        return proxy

    async def _take_down(self) -> None:
        for proxy, listener in self._proxies:
            listener.close()
            await proxy.aclose()
