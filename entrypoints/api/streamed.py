"""An answer whose body is sent piece by piece, as fast as the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable

from litestar.types import Receive, Scope, Send

from commands.results import ResultFile
from entrypoints.api.answers import Answer, Header
from entrypoints.api.preferences import until_gone

PIECE_BYTES = 256 * 1024
STALL_SECONDS = 60.0  # a client that takes nothing for so long is given up, with the connection


class FileAnswer(Answer):
    """A part of a file, or all of it. It is closed when the answer has been sent, whatever came of it."""

    __slots__ = ("_begin", "_end", "_file")

    def __init__(
        self,
        status: int,
        file: ResultFile,
        *,
        begin: int,
        end: int,
        content_type: bytes,
        headers: Iterable[Header] = (),
    ) -> None:
        super().__init__(status, b"", content_type=content_type, headers=headers)
        self.headers[1] = (b"content-length", b"%d" % (end - begin))
        self._file = file
        self._begin = begin
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. A client that goes, or takes nothing, or a file that has become shorter, ends it, and so the connection."""
        gone = asyncio.create_task(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            begin = self._end if scope.get("method") == "HEAD" else self._begin
            while begin < self._end and not gone.done():
                piece = await self._file.read(begin, min(PIECE_BYTES, self._end - begin))
                if not piece:
                    return
                begin += len(piece)
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            if begin == self._end:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return
        finally:
            gone.cancel()
            self._file.close()


class StreamAnswer(Answer):
    """A body without a known end, in pieces as they come. `ended` is called once, when it has been sent or cut off."""

    __slots__ = ("_ended", "_pieces")

    def __init__(
        self,
        status: int,
        pieces: AsyncGenerator[bytes],
        *,
        content_type: bytes,
        ended: Callable[[], None],
        headers: Iterable[Header] = (),
    ) -> None:
        super().__init__(status, b"", content_type=content_type, headers=headers)
        del self.headers[1]  # its length
        self._pieces = pieces
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, until it ends or the client goes. One who takes nothing for too long is cut off, and may resume."""
        gone = asyncio.create_task(until_gone(receive))
        piece: asyncio.Task[bytes] | None = None
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            while True:
                piece = asyncio.create_task(_next(self._pieces))
                await asyncio.wait((gone, piece), return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    return
                body = piece.result()
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": body, "more_body": bool(body)})
                if not body:
                    return
        except TimeoutError:
            return
        finally:
            self._ended()
            gone.cancel()
            if piece is not None and not piece.done():
                piece.cancel()
                await asyncio.wait((piece,))
            await self._pieces.aclose()


async def _next(pieces: AsyncGenerator[bytes]) -> bytes:
    """The next piece; empty at the end."""
    return await anext(pieces, b"")
