"""A mail server that does as it is told: it refuses, stalls or hangs up at any phase of a conversation, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

from msgspec import Struct, field

PHASES = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot", "QUIT")

_USUAL = {
    "connect": "220 scripted",
    "EHLO": "250-scripted\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250 SMTPUTF8",
    "HELO": "250 scripted",
    "MAIL": "250 sender ok",
    "RCPT": "250 recipient ok",
    "DATA": "354 go on",
    "dot": "250 2.0.0 kept",
    "QUIT": "221 bye",
}


class Trouble(Enum):
    """What a server can do instead of answering."""

    CUT = "hangs up"
    STALL = "says nothing more"


Action = str | Trouble


class Copy(Struct, frozen=True):
    """A whole mail, whose final dot was read. `answer` is what the script has then; `refused`: nobody may take it for taken."""

    recipients: list[str]
    content: bytes  # as it was composed, without the dots that SMTP adds
    answer: Action
    refused: bool


class ScriptedSmtp(Struct, kw_only=True):
    """`script` maps a phase to its answer for each connection in turn; the last one stays, and others answer as usual."""

    script: dict[str, list[Action]]
    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    copies: list[bytes] = field(default_factory=list)  # what came between DATA and the dot, whole ones only
    mails: list[Copy] = field(default_factory=list)  # the same, with what is known of them
    reached: dict[str, asyncio.Event] = field(default_factory=lambda: {phase: asyncio.Event() for phase in PHASES})
    go_on: asyncio.Event = field(default_factory=asyncio.Event)  # lets a server that stalls read what there is
    left: asyncio.Event = field(default_factory=asyncio.Event)  # the client has closed a stalled connection

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        try:
            await self._talk(reader, writer, number)
        except (ConnectionError, asyncio.IncompleteReadError, _HungUp):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await self._act("connect", number, reader, writer)
        recipients: list[str] = []
        while line := await reader.readline():
            self.commands.append(line.decode().strip())
            verb = line.split()[0].decode().upper()
            if verb == "RCPT":
                recipients.append(line.decode("utf-8", "surrogateescape").partition("<")[2].partition(">")[0])
            await self._act(verb, number, reader, writer)
            if verb == "QUIT":
                return
            if verb == "DATA" and self._action("DATA", number) == _USUAL["DATA"]:
                begun = b""
                if "body" in self.script and self._action("body", number) != "":
                    begun = await reader.read(100)
                    await self._act("body", number, reader, writer)
                self.copies.append(begun + await reader.readuntil(b"\r\n.\r\n"))
                answers = [self._action("dot", number), *([self._action("body", number)] if begun else [])]
                refused = any(isinstance(said, str) and said[:1] in ("4", "5") for said in answers)
                content = self.copies[-1][: -len(b".\r\n")].replace(b"\r\n..", b"\r\n.")
                self.mails.append(Copy(recipients, content, answers[0], refused))
                await self._act("dot", number, reader, writer)

    def _action(self, phase: str, number: int) -> Action:
        actions = self.script.get(phase)
        return actions[min(number, len(actions) - 1)] if actions else _USUAL.get(phase, "502 what?")

    async def _act(self, phase: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        action = self._action(phase, number)
        if phase in self.reached:
            self.reached[phase].set()
        if action is Trouble.CUT:
            writer.transport.abort()
            raise _HungUp
        if action is Trouble.STALL:
            await self.go_on.wait()
            with suppress(ConnectionError):
                while await reader.read(65536):
                    pass
            self.left.set()
            raise _HungUp
        writer.write(f"{action}\r\n".encode("utf-8", "surrogateescape"))
        await writer.drain()


class _HungUp(Exception):  # the conversation is over by the script
    pass


@asynccontextmanager
async def scripted_smtp(**script: Action | list[Action]) -> AsyncIterator[ScriptedSmtp]:
    """A server on a free port of the loopback, as `script` says."""
    smtp = ScriptedSmtp(script={key: value if isinstance(value, list) else [value] for key, value in script.items()})
    running: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await smtp.talk(reader, writer)
        finally:
            running.discard(task)

    listener = socket.socket()
    # Small, so that a client cannot write far beyond what the script lets the server read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(talk, sock=listener)
    smtp.port = server.sockets[0].getsockname()[1]
    try:
        yield smtp
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
