"""Group commit: one batch in flight, and whatever arrives meanwhile forms the next. No timer: an idle caller never waits.

Knows nothing of what it sends; batches grow by themselves with the load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from commands.ports import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class TooMuchWaiting(Unavailable):
    """More is submitted than is sent, and nothing more is taken."""


class _Submission(Generic[Item, Answer]):
    __slots__ = ("answers", "items", "size")

    def __init__(self, items: Sequence[Item], size: int, answers: asyncio.Future[list[Answer]]) -> None:
        self.items = items
        self.size = size
        self.answers = answers


class GroupCommit(Generic[Item, Answer]):
    """Sends submissions in order of arrival, many at a time, one batch after another.

    `send` answers item by item, in order; what it raises reaches every submission of its batch. A batch holds at most
    `batch_items` items and `batch_bytes` bytes, unless one submission alone is larger. `receiver`: who is sent to, for errors.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[list[Answer]]],
        *,
        receiver: str = "",
        batch_items: int = 1_000,
        batch_bytes: int = 8 * 1024 * 1024,
        queue_items: int = 20_000,
        queue_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._send = send
        self._receiver = receiver
        self._batch_items = batch_items
        self._batch_bytes = batch_bytes
        self._queue_items = queue_items
        self._queue_bytes = queue_bytes
        self._waiting: deque[_Submission[Item, Answer]] = deque()
        self._waiting_items = 0
        self._waiting_bytes = 0
        self._sender: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return self._waiting_items

    async def submit(self, items: Sequence[Item], *, size: int) -> list[Answer]:
        """Send `items` (`size` bytes in all) and give their answers. Raises TooMuchWaiting when the queue is full.

        A caller that is cancelled does not take its items back: they may be under way already.
        """
        if self._waiting and (
            self._waiting_items + len(items) > self._queue_items or self._waiting_bytes + size > self._queue_bytes
        ):
            raise TooMuchWaiting("too much is waiting to be written", dependency=self._receiver)
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Submission(items, size, answers))
        self._waiting_items += len(items)
        self._waiting_bytes += size
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name="group commit")
        return await answers

    async def drain(self) -> None:
        """Wait until everything submitted so far has been answered."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send_batch(self._take_batch())
        finally:
            self._sender = None

    def _take_batch(self) -> list[_Submission[Item, Answer]]:
        batch: list[_Submission[Item, Answer]] = []
        items = size = 0
        while self._waiting:
            following = self._waiting[0]
            if batch and (
                items + len(following.items) > self._batch_items or size + following.size > self._batch_bytes
            ):
                break
            batch.append(self._waiting.popleft())
            items += len(following.items)
            size += following.size
        self._waiting_items -= items
        self._waiting_bytes -= size
        return batch

    async def _send_batch(self, batch: list[_Submission[Item, Answer]]) -> None:
        try:
            answers = await self._send([item for submission in batch for item in submission.items])
        except asyncio.CancelledError:
            for submission in batch:
                submission.answers.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is belongs to those who wait for it
            for submission in batch:
                if not submission.answers.done():
                    submission.answers.set_exception(exc)
            return
        start = 0
        for submission in batch:
            end = start + len(submission.items)
            if not submission.answers.done():
                submission.answers.set_result(answers[start:end])
            start = end
