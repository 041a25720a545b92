"""The tests' own proxy does to a connection what it says, so that the tests of faults can believe it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.proxy import Proxy, proxy_to
from tests.until import until


class Bench:
    """A server that answers each line with itself, a proxy before it, and clients that are closed in the end."""

    def __init__(self) -> None:
        self.proxy: Proxy
        self.got: list[bytes] = []
        self.reached = 0  # connections that the server has seen begin
        self.gone = 0  # connections that the server has seen end
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        try:
            while line := await reader.readline():
                self.got.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.gone += 1
            writer.close()

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self._writers.append(writer)
        return Client(reader, writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, line: bytes) -> None:
        self._writer.write(line)

    async def read(self, *, within: float = 20) -> bytes:
        return await asyncio.wait_for(self._reader.readline(), within)

    async def ask(self, line: bytes) -> bytes:
        self.send(line)
        return await self.read()

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    server = await asyncio.start_server(bench.serve, "127.0.0.1", 0)
    async with proxy_to(server.sockets[0].getsockname()[1]) as bench.proxy:
        yield bench
        bench.close()
    server.close()
    await until(lambda: bench.gone == bench.reached)


async def test_it_passes_everything_on(bench: Bench) -> None:
    client = await bench.connect()
    assert await client.ask(b"one\n") == b"one\n"
    assert await client.ask(b"two\n") == b"two\n"
    client.close()
    await until(lambda: bench.gone == 1)


async def test_a_reset_reaches_both_sides(bench: Bench) -> None:
    client = await bench.connect()
    await client.ask(b"one\n")
    bench.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await client.read()
    await until(lambda: bench.gone == 1)


async def test_a_reset_of_the_client_alone_leaves_the_server_at_work(bench: Bench) -> None:
    client = await bench.connect()
    await client.ask(b"one\n")
    bench.proxy.reset(server_too=False)
    with pytest.raises(ConnectionResetError):
        await client.read()
    other = await bench.connect()
    assert await other.ask(b"two\n") == b"two\n"
    assert bench.gone == 0


async def test_a_black_hole_holds_back_and_heals(bench: Bench) -> None:
    client = await bench.connect()
    await client.ask(b"one\n")
    bench.proxy.black_hole()
    client.send(b"two\n")
    with pytest.raises(TimeoutError):
        await client.read(within=0.05)
    assert bench.got == [b"one\n"]
    bench.proxy.heal()
    assert await client.read() == b"two\n"


async def test_a_black_hole_for_some_holds_back_those_alone_also_new_ones(bench: Bench) -> None:
    held, other = await bench.connect(), await bench.connect()
    assert await held.ask(b"I am the listener\n") == b"I am the listener\n"
    assert await other.ask(b"I am another\n") == b"I am another\n"
    bench.proxy.black_hole(opened_with=b"listener")
    held.send(b"1\n")
    new = await bench.connect()
    new.send(b"I am a listener too\n")
    assert await other.ask(b"2\n") == b"2\n"
    assert bench.got[2:] == [b"2\n"]
    bench.proxy.heal()
    assert await held.read() == b"1\n"
    assert await new.read() == b"I am a listener too\n"


async def test_a_swallowed_reply_is_lost_alone(bench: Bench) -> None:
    client = await bench.connect()
    bench.proxy.swallow_reply(to=b"two")
    assert await client.ask(b"one\n") == b"one\n"
    client.send(b"two\n")
    await until(lambda: bench.proxy.met == 1)
    assert await client.ask(b"three\n") == b"three\n"
    assert bench.got == [b"one\n", b"two\n", b"three\n"]


async def test_a_cut_comes_before_or_after_the_reply(bench: Bench) -> None:
    before, after = await bench.connect(), await bench.connect()
    bench.proxy.cut_before_reply()
    with pytest.raises(ConnectionResetError):
        await before.ask(b"one\n")
    bench.proxy.cut_after_reply()
    after.send(b"two\n")
    await until(lambda: bench.proxy.met == 2)
    assert bench.got == [b"one\n", b"two\n"]


async def test_who_is_refused_is_reset_until_it_heals(bench: Bench) -> None:
    bench.proxy.refuse()
    refused = await bench.connect()
    with pytest.raises(ConnectionResetError):
        await refused.read()
    bench.proxy.heal()
    healed = await bench.connect()
    assert await healed.ask(b"one\n") == b"one\n"
