"""A client of Server-Sent Events that asks the application directly, in tests: it reads what it wants, when it wants."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tests.until import until


class Message(NamedTuple):
    """One event as a browser would give it out; `id` is its own, empty for one that has none."""

    id: str
    event: str
    data: Any


class EventSource:
    """One stream. `messages` are those that came, `last_id` what a browser would resume with. An async context manager."""

    def __init__(self, app: Any, path: str, **headers: str) -> None:
        split = urlsplit(path)
        named = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": split.path,
            "query_string": split.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        self._app = app
        self._gone = asyncio.Event()
        self._text = ""
        self._task: asyncio.Task[None] | None = None
        self.takes = asyncio.Event()  # whether what is sent is taken
        self.takes.set()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.messages: list[Message] = []
        self.last_id: str | None = None
        self.beats = 0
        self.is_over = False

    async def __aenter__(self) -> EventSource:
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._gone.set()
        self.takes.set()
        assert self._task is not None
        async with asyncio.timeout(30):
            await self._task

    async def until(self, count: int) -> list[Message]:
        """The messages, as soon as there are so many."""
        await until(lambda: len(self.messages) >= count, saw=lambda: self.messages)
        return self.messages

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.is_over = not message.get("more_body")
        if self.headers["content-type"] != "text/event-stream":
            return
        self._text += message["body"].decode()
        *blocks, self._text = self._text.split("\n\n")
        for block in blocks:
            self._read(block)

    def _read(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.beats += block.startswith(": heartbeat")
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            self.messages.append(Message(fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])))
