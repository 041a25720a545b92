"""The load generator: HTTP over kept-alive connections, cheap enough to leave the machine to those who are measured.

    echo '{"ports": [3000], …}' | python -P -m benchmarks.load KIND

writes one line of JSON. KIND:
  post     each of `connections` posts, one request after the other, for `seconds` or until `count` are answered; with `waits` it
           says "connected" before that, and waits for a further line
  latency  post one job, ask for it until it is completed, `count` times with a short pause
  steady   `rate` requests a second in all, POST and GET in turn, at random moments, for `seconds`: each one's time from the
           moment at which it was due
Every answer must have the status that is expected; anything else ends the run.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any, cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
NOOP_BODY = b'{"type":"NOOP","payload":{"number":7,"text":"as small as most payloads are"}}'
_POLL_PAUSE = 0.0002  # seconds between two GETs of one job: a client that is in a hurry


class WrongAnswer(Exception):
    """An answer was not what it must be."""


class Connection(asyncio.Protocol):
    """One kept-alive connection: one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answered: Callable[[bytes, bytes], None] = lambda head, body: None
        self._transport: asyncio.Transport | None = None
        self.lost: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost()

    def send(self, request: bytes, answered: Callable[[bytes, bytes], None]) -> None:
        """Send a request; `answered` is called with head and body of its answer."""
        assert self._transport is not None
        self._answered = answered
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head_ends = self._buffer.find(b"\r\n\r\n")
        if head_ends < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head_ends)
        ends = head_ends + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < ends:
            return
        head, body = self._buffer[:head_ends], self._buffer[head_ends + 4 : ends]
        self._buffer = b""
        self._answered(head, body)

    async def ask(self, request: bytes, expected: bytes) -> bytes:
        """The body of the answer, whose status must be as expected."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answered(head: bytes, body: bytes) -> None:
            if head[9:12] == expected:
                future.set_result(body)
            else:
                future.set_exception(WrongAnswer(f"{head!r} {body!r}"))

        self.send(request, answered)
        return await future


def post_request(body: bytes) -> bytes:
    return (
        b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )


def get_request(job_id: str) -> bytes:
    return b"GET /jobs/%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % job_id.encode()


async def opened_connections(ports: list[int], count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    opened = []
    for _, port in zip(range(count), cycle(ports), strict=False):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        opened.append(connection)
    return opened


async def post(
    *,
    ports: list[int],
    connections: int,
    seconds: float = 0,
    count: int = 0,
    waits: bool = False,
    body: str = NOOP_BODY.decode(),
) -> dict[str, Any]:
    """See above."""
    request = post_request(body.encode())
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    clock = time.perf_counter
    taken: list[float] = []
    sent = 0

    def give_up(text: str) -> None:
        if not done.done():
            done.set_exception(WrongAnswer(text))

    def drive(connection: Connection) -> None:
        began = 0.0

        def send() -> None:
            nonlocal began, sent
            if count and sent == count:
                return
            sent += 1
            began = clock()
            connection.send(request, answered)

        def answered(head: bytes, body: bytes) -> None:
            now = clock()
            if head[9:12] != b"201":
                give_up(f"{head!r} {body!r}")
                return
            taken.append(now - began)
            if count:
                if len(taken) == count and not done.done():
                    done.set_result(None)
                    return
            elif now >= ends_at:
                if not done.done():
                    done.set_result(None)
                return
            send()

        connection.lost = lambda: give_up("a connection was closed")
        send()

    opened = await opened_connections(ports, connections)
    if waits:
        print("connected", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    began = clock()
    ends_at = began + seconds
    for connection in opened:
        drive(connection)
    await done
    return {"answered": len(taken), "seconds": clock() - began, **milliseconds(taken)}


async def latency(*, ports: list[int], count: int) -> dict[str, Any]:
    """See above."""
    [connection] = await opened_connections(ports, 1)
    request = post_request(NOOP_BODY)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        asked = get_request(json.loads(await connection.ask(request, b"201"))["jobId"])
        while b'"status":"completed"' not in await connection.ask(asked, b"200"):  # noqa: ASYNC110 - a client has nothing else
            await asyncio.sleep(_POLL_PAUSE)
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(random.uniform(0.005, 0.025))  # not in step with anything
    return milliseconds(taken)


async def steady(*, ports: list[int], rate: float, seconds: float, job_ids: list[str] | None = None) -> dict[str, Any]:
    """See above. GETs ask for `job_ids` (a random one each time), or for what was posted last."""
    opened = await opened_connections(ports, 32)
    request = post_request(NOOP_BODY)
    free = asyncio.Queue[Connection]()
    for connection in opened:
        free.put_nowait(connection)
    posts: list[float] = []
    gets: list[float] = []
    known = list(job_ids or [])

    async def one(due: float, number: int) -> None:
        connection = await free.get()
        if number % 2 and known:
            await connection.ask(get_request(random.choice(known)), b"200")
            gets.append(time.perf_counter() - due)
        else:
            job_id = json.loads(await connection.ask(request, b"201"))["jobId"]
            posts.append(time.perf_counter() - due)
            if not job_ids:
                known[:] = [job_id]
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        due = time.perf_counter()
        ends_at = due + seconds
        number = 0
        while due < ends_at:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, number))
            number += 1
            due += random.expovariate(rate)
    return {"post": milliseconds(posts), "get": milliseconds(gets)}


def milliseconds(taken: list[float]) -> dict[str, float]:
    """The middle and the slow end of some durations in seconds."""
    if not taken:
        return {}
    ordered = sorted(taken)
    return {f"p{share}": 1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 99)}


if __name__ == "__main__":
    kinds: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
        "post": post,
        "latency": latency,
        "steady": steady,
    }
    answer: dict[str, Any] = uvloop.run(kinds[sys.argv[1]](**json.loads(sys.stdin.readline())))
    print(json.dumps(answer), flush=True)
