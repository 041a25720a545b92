"""The server on real sockets: what only the wire shows."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from msgspec import Struct

from commands.ports import Answer, Append
from entrypoints.api.http_protocol import MAX_HEAD_BYTES
from entrypoints.api.server import bound_socket, serve
from entrypoints.settings import InvalidSetting
from tests.api_under_test import MAX_BODY_BYTES, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader
from tests.until import until

JOB = b'{"type": "CSV_EXPORT", "payload": 1}'


class SlowLog(FakeEventLog):
    """Appends wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        self.waiting += 1
        await self.go_on.wait()
        self.waiting -= 1
        return await super().append(commands)


class Running(Struct):
    """A server in this loop."""

    port: int
    log: SlowLog
    stop: asyncio.Event
    serving: asyncio.Task[None]


@asynccontextmanager
async def running(
    *, grace: float = 20.0, head_seconds: float = 60.0, body_seconds: float = 60.0
) -> AsyncIterator[Running]:
    log, stop = SlowLog(), asyncio.Event()
    with bound_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        serving = asyncio.create_task(
            serve(
                make_api(log, FakeHealthReader()),
                bound,
                stop=stop,
                grace=grace,
                head_seconds=head_seconds,
                body_seconds=body_seconds,
            ),
            name="server under test",
        )
        server = Running(port=port, log=log, stop=stop, serving=serving)
        try:
            await until(lambda: _accepts(port) or serving.done())
            yield server
        finally:
            log.go_on.set()
            stop.set()
            await serving


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def exchange(port: int, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes on a new connection; status, headers and body of the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await read_answer(reader)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await asyncio.wait_for(reader.readexactly(int(headers.get("content-length", "0"))), 20)
    return int(head[0].split()[1]), headers, body


def head_of_post(*headers: str) -> bytes:
    lines = ("POST /jobs HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers)
    return "\r\n".join((*lines, "", "")).encode("latin-1")


async def test_a_job_is_posted_and_found_over_one_connection(server: Running) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        created = await client.post("/jobs", json={"type": "CSV_EXPORT", "payload": {"data": []}})
        found = await client.get(created.headers["location"])

    assert created.status_code == 201
    assert found.json()["status"] == "pending"
    assert "server" not in found.headers


async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(server: Running) -> None:
    status, _, body = await exchange(server.port, head_of_post("Content-Length: 10000000000", "Expect: 100-continue"))

    assert status == 413
    assert json.loads(body)["type"] == "/schema#body-too-large"


async def test_a_body_without_a_length_is_read_no_further_than_the_limit(server: Running) -> None:
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"

    # No last chunk: the answer comes although the body has no end.
    status, _, body = await exchange(server.port, head_of_post("Transfer-Encoding: chunked"), chunk * 5)

    assert status == 413
    assert str(MAX_BODY_BYTES) in json.loads(body)["detail"]


async def test_a_connection_that_says_nothing_is_closed_in_the_time_of_a_head() -> None:
    async with running(head_seconds=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_head_that_drips_is_answered_408_when_its_time_is_over() -> None:
    async with running(head_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        dripping = asyncio.create_task(_drip(writer, b"GET /livez HTTP/1.1\r\n"))
        status, headers, body = await read_answer(reader)
        assert (status, headers["connection"], headers["x-content-type-options"]) == (408, "close", "nosniff")
        assert json.loads(body)["type"] == "/schema#request-too-slow"
        assert await asyncio.wait_for(reader.read(), 20) == b""
        dripping.cancel()
        writer.close()


async def test_the_second_head_of_a_connection_has_its_time_as_well() -> None:
    async with running(head_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        writer.write(b"GET /livez HTTP/1.1\r\n")
        assert (await read_answer(reader))[0] == 408
        writer.close()


async def test_a_body_that_drips_is_answered_408_when_its_time_is_over_and_makes_no_job() -> None:
    async with running(body_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head_of_post("Content-Length: 1000"))
        dripping = asyncio.create_task(_drip(writer, b"{" + b" " * 20))
        status, headers, body = await read_answer(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body) | {"detail": ""} == {
            "type": "/schema#request-too-slow",
            "title": "The request took too long to arrive",
            "status": 408,
            "detail": "",
            "instance": "/jobs",
        }
        assert await asyncio.wait_for(reader.read(), 20) == b""
        assert server.log.waiting == 0
        dripping.cancel()
        writer.close()


async def test_a_body_that_goes_on_after_its_answer_is_cut_off_when_its_time_is_over() -> None:
    async with running(body_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head_of_post("Content-Length: 1000000"))
        dripping = asyncio.create_task(_drip(writer, b" " * 100_000))
        assert (await read_answer(reader))[0] == 413
        assert await asyncio.wait_for(reader.read(), 20) == b""
        dripping.cancel()
        writer.close()


async def test_an_answer_may_take_longer_than_a_request() -> None:
    async with running(head_seconds=0.3, body_seconds=0.3) as server:
        server.log.go_on.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head_of_post(f"Content-Length: {len(JOB)}") + JOB + b"GET /livez HTT")  # and a part of the next
        await until(lambda: server.log.waiting == 1)
        await asyncio.sleep(0.7)  # longer than both: nothing else could be waited for
        server.log.go_on.set()
        assert (await read_answer(reader))[0] == 201
        writer.write(b"P/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        writer.close()


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Byte by byte. What still comes when the server closes makes it a reset, and the answer may be lost."""
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_after_a_body_that_was_too_large_the_connection_can_be_used_again(server: Running) -> None:
    size = 10 * 1024 * 1024
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        for _ in range(3):
            refused = await client.post("/jobs", content=b" " * size, headers={"content-type": "application/json"})
            accepted = await client.post("/jobs", json={"type": "CSV_EXPORT", "payload": 1})
            assert (refused.status_code, accepted.status_code) == (413, 201)


async def test_a_chunked_body_is_put_together(server: Running) -> None:
    half = len(JOB) // 2
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (JOB[:half], JOB[half:])]

    status, headers, _ = await exchange(server.port, head_of_post("Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n")

    assert status == 201
    assert headers["location"].startswith("/jobs/")


async def test_a_client_that_goes_away_in_its_body_harms_nobody(server: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head_of_post("Content-Length: 100") + b"{")
    await writer.drain()
    writer.transport.abort()

    status, _, _ = await exchange(server.port, head_of_post(f"Content-Length: {len(JOB)}") + JOB)

    assert status == 201
    assert len(server.log.events) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"HELLO\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,  # TLS
        b"GET /jobs/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /%ff%00/../../x?%zz#y HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET http://elsewhere/jobs/x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /jobs/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_whatever_is_sent_is_answered_with_a_problem_and_never_as_our_fault(
    server: Running, request_bytes: bytes
) -> None:
    status, headers, body = await exchange(server.port, request_bytes)

    assert 400 <= status < 500
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


async def test_a_head_without_end_is_cut_off(server: Running) -> None:
    status, headers, body = await exchange(server.port, b"GET / HTTP/1.1\r\nx: ", b"y" * (MAX_HEAD_BYTES + 1))

    assert status == 431
    assert headers["connection"] == "close"
    assert json.loads(body)["type"] == "/schema#head-too-large"


async def test_many_requests_on_one_connection_are_not_taken_for_one_long_head(server: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for _ in range(10):
            request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * (MAX_HEAD_BYTES // 5) + b"\r\n\r\n"
            writer.write(request[:50])
            await writer.drain()
            writer.write(request[50:])
            status, _, _ = await read_answer(reader)
            assert status == 200
    finally:
        writer.close()


async def test_a_stop_waits_for_what_is_being_answered(server: Running) -> None:
    server.log.go_on.clear()
    answering = asyncio.create_task(exchange(server.port, head_of_post(f"Content-Length: {len(JOB)}") + JOB))
    await until(lambda: server.log.waiting == 1)

    server.stop.set()
    await until(lambda: not _accepts(server.port))
    still_serving = not server.serving.done()
    server.log.go_on.set()
    status, headers, _ = await answering
    await asyncio.wait_for(server.serving, 20)

    assert still_serving
    assert status == 201
    assert headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch"])
async def test_what_has_no_answer_when_the_time_to_stop_is_over_is_503_and_can_be_asked_again(path: str) -> None:
    body = JOB if path == "/jobs" else b"[" + JOB + b"]"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with running(grace=1) as server:
        server.log.go_on.clear()
        asking = asyncio.create_task(exchange(server.port, head.encode(), body))
        await until(lambda: server.log.waiting > 0)
        server.stop.set()
        status, headers, problem = await asking

    assert status == 503
    assert headers["retry-after"] == "1"
    assert json.loads(problem)["detail"] == "this process ends before it has an answer"


async def test_a_stop_does_not_wait_for_idle_connections() -> None:
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await read_answer(reader)

        server.stop.set()

        assert await asyncio.wait_for(reader.read(), 20) == b""
        await asyncio.wait_for(server.serving, 20)
        writer.close()


async def test_a_port_in_use_is_one_clear_sentence() -> None:
    with bound_socket("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        in_use = pytest.raises(InvalidSetting, match=rf"API_PORT='{port}': another program listens on this port")
        with in_use, bound_socket("127.0.0.1", port):
            pass


def test_a_host_that_is_not_ours_is_one_clear_sentence() -> None:
    with (
        pytest.raises(InvalidSetting, match=r"API_HOST='192\.0\.2\.1': cannot listen there"),
        bound_socket("192.0.2.1", 0),
    ):
        pass
