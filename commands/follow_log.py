"""The log as it grows, for any number who follow it: each at his own place and pace, by one listener and shared pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from commands.outages import Outages
from commands.wait_for_end import WakeUps
from domain.errors import Unavailable
from domain.moment import MAX_POSITION

FOLLOW = "follow the log"  # what outages know it by
PAGE_EVENTS = 500
_PAGES_KEPT = 16
_KEPT_SECONDS = 1.0  # not for longer: what was erased since must not come from here
_POLL = 0.25  # seconds: a listening connection can die in silence
_AT_MOST = 1.0  # seconds between two looks of one who follows; the wake-ups come sooner, and to all at the same time
_LEAST_PAUSE = 0.02  # seconds between two wake-ups, however often others append
_RETRY = 0.5  # seconds until the next try while the log cannot be read
_LINGER = 5.0  # seconds that it goes on to listen when nobody follows any more


class LoggedEvent(Struct, frozen=True):
    """An event as the log holds it, with its job's type; `data` and `content` are JSON that nothing here looks into."""

    position: int
    job_id: str
    version: int
    type: str
    data: bytes
    content: bytes | None
    actor: str
    recorded_at: datetime
    job_type: str


class EventsPage(Struct, frozen=True):
    """The next events after a position, and the last position that was looked at."""

    events: tuple[LoggedEvent, ...]
    position: int
    head: int  # the log's newest position then


class EventPages(Protocol):
    """The log, page by page."""

    async def page(self, after: int, *, limit: int) -> EventsPage:
        """The events after that position in order, at most `limit`; fewer where they are large, but one at least if there is any.

        Raises LogDamaged for a gap, Unavailable.
        """


class LogFollower:
    """Reads the log for all who follow it. It listens only while somebody does. `listen` begins to hear of appends."""

    def __init__(
        self, *, pages: EventPages, listen: Callable[[], AbstractAsyncContextManager[WakeUps]], outages: Outages
    ) -> None:
        self._pages = pages
        self._listen = listen
        self._outages = outages
        self._kept: dict[int, asyncio.Task[EventsPage]] = {}
        self._woken = asyncio.Event()
        self._following = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def head(self) -> int:
        """The log's newest position. Raises Unavailable."""
        return (await self._pages.page(MAX_POSITION, limit=1)).head

    async def page(self, after: int) -> EventsPage:
        """The next events after that position; who asks for the same at about the same time shares an answer.

        Raises LogDamaged, Unavailable.
        """
        reading = self._kept.get(after)
        if reading is None:
            reading = asyncio.create_task(self._pages.page(after, limit=PAGE_EVENTS))
            self._kept[after] = reading
            reading.add_done_callback(lambda done: self._keep(after, done))
        return await asyncio.shield(reading)

    async def follow(self, after: int) -> AsyncGenerator[EventsPage]:
        """Page after page, from after that position on, until `close`; where there is nothing new, an empty one at times.

        Waits through outages. Raises LogDamaged.
        """
        self._following += 1
        try:
            while not self._closed.is_set():
                woken = self._woken
                try:
                    page = await self.page(after)
                except Unavailable as exc:
                    self._outages.failed(exc, doing=FOLLOW)
                    await self._wait(self._closed, _RETRY)
                    continue
                self._outages.succeeded(doing=FOLLOW)
                yield page
                after = page.position
                if not page.events:
                    self._hear()
                    await self._wait(woken, _AT_MOST)
        finally:
            self._following -= 1

    def close(self) -> None:
        """Let everybody come to the end of what he follows."""
        self._closed.set()
        self._wake()
        if self._task is not None:
            self._task.cancel()

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.wait((waiting,), timeout=seconds)
        waiting.cancel()

    def _wake(self) -> None:
        # A new one for those who come later: who waits for the old one has read before it was set, or reads after.
        self._woken.set()
        self._woken = asyncio.Event()

    def _keep(self, after: int, done: asyncio.Task[EventsPage]) -> None:
        """An answer without events may be another one a moment later; one with some never."""
        if done.cancelled() or done.exception() is not None or not done.result().events:
            del self._kept[after]
            return
        asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._kept.pop, after, None)
        kept = [place for place, reading in self._kept.items() if reading.done()]
        for place in kept[:-_PAGES_KEPT]:
            del self._kept[place]

    def _hear(self) -> None:
        if (self._task is None or self._task.done()) and not self._closed.is_set():
            self._task = asyncio.create_task(self._run(), name=FOLLOW)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        wanted_at = now()
        async with self._listen() as wake_ups:
            while now() - wanted_at < _LINGER:
                if self._following:
                    wanted_at = now()
                await wake_ups.wait(_POLL)
                self._wake()
                await asyncio.sleep(_LEAST_PAUSE)
