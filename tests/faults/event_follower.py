"""Follows the log of all jobs by Server-Sent Events, as a browser would: cut off, it resumes behind what it has, elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
from msgspec import Struct

from tests.faults.client_log import ClientLog, Followed, FollowedUp, Seen, StreamOpened

_SILENCE = 40.0  # seconds in which a stream says nothing until it is given up: over two heartbeats
_PAUSE = 0.2  # seconds before it comes back


class _Event(Struct, frozen=True, rename="camel"):
    job_id: str
    version: int
    type: str


class _Page(Struct, frozen=True):
    events: list[_Event]
    next: str
    head: int


_T = TypeVar("_T")


def _read(text: bytes, kind: type[_T]) -> _T:
    """By the standard library: payloads hold all that RFC 8259 permits, such as lone surrogates and integers of 5,000 digits."""
    return msgspec.convert(json.loads(text, parse_int=str), kind, strict=False)


class EventFollower:
    """Writes down each event that it is shown. `types`: event types, separated by commas; empty: all. `after`: None is now."""

    def __init__(self, name: str, apis: Sequence[str], *, log: ClientLog, types: str = "", after: int | None) -> None:
        self._name = name
        self._apis = apis
        self._log = log
        self._types = types
        self._begin = after
        self._position: int | None = None  # of the newest event or heartbeat
        self._turns = count()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with self._client() as http:
            while True:
                with suppress(httpx.HTTPError):  # the API is gone, or the stream was cut off
                    await self._follow(http, self._next_api())
                await asyncio.sleep(_PAUSE)

    async def catch_up(self) -> None:
        """Return when it has seen all that the log has for it, and write that down."""
        async with self._client() as http:
            while (head := await self._is_up_to(http)) is None:  # noqa: ASYNC110 - a question to a server
                await asyncio.sleep(_PAUSE)
        self._log.write(FollowedUp(self._name, head))

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=_SILENCE), trust_env=False)

    def _next_api(self) -> str:
        return self._apis[next(self._turns) % len(self._apis)]

    async def _follow(self, http: httpx.AsyncClient, api: str) -> None:
        headers = {"accept": "text/event-stream"}
        wanted: dict[str, str | int] = {"type": self._types} if self._types else {}
        if self._position is not None:
            headers["last-event-id"] = str(self._position)
        elif self._begin is not None:
            wanted["after"] = self._begin
        async with http.stream("GET", f"{api}/events", params=wanted, headers=headers) as answer:
            if answer.status_code != 200:
                self._opened(api, answer.status_code, self._position or self._begin or 0)
                return
            rest, is_new = b"", True
            async for piece in answer.aiter_bytes():
                *blocks, rest = (rest + piece).split(b"\n\n")
                messages = [_fields(block) for block in blocks]
                if is_new and messages:
                    self._opened(api, 200, int(messages[0][b"id"]))
                    is_new = False
                self._take(messages)

    def _opened(self, api: str, status: int, after: int) -> None:
        self._log.write(StreamOpened(self._name, api, status, after, self._types))

    def _take(self, messages: list[dict[bytes, bytes]]) -> None:
        seen: list[Seen] = []
        for message in messages:
            self._position = int(message[b"id"])
            if b"data" in message:
                event = _read(message[b"data"], _Event)
                seen.append(Seen(self._position, event.job_id, event.version, event.type))
        if seen:
            self._log.write(Followed(self._name, seen))

    async def _is_up_to(self, http: httpx.AsyncClient) -> int | None:
        """The log's head, if nothing that is wanted lies between what was seen and that."""
        after = self._position
        while after is not None:
            wanted: dict[str, str | int] = {
                "after": after,
                "limit": 1,
                **({"type": self._types} if self._types else {}),
            }
            try:
                answer = await http.get(f"{self._next_api()}/events", params=wanted)
            except httpx.HTTPError:
                return None
            if answer.status_code != 200:
                return None
            page = _read(answer.content, _Page)
            if page.events:
                return None
            after = int(parse_qs(urlsplit(page.next).query)["after"][0])
            if after >= page.head:
                return page.head
        return None


def _fields(block: bytes) -> dict[bytes, bytes]:
    named = (line.partition(b": ") for line in block.split(b"\n") if not line.startswith(b":"))
    return {name: value for name, _, value in named}
