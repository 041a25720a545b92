"""One conversation with a mail server: offer a mail, hand it over, and know whether the final dot was written.

A server owns a mail from the moment it has read the final dot (RFC 5321 4.2.5 and 6.1). So that is the one fact that
matters, and aiosmtplib's own `data()` does not tell it; hence DATA is driven here. Nothing retries here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException

from adapters.smtp.compose import Mail
from domain.errors import JobledgerError

_CHUNK = 64 * 1024  # bytes between two looks at the time
_GOODBYE = 5.0  # seconds for the answer to QUIT: the mail is taken, so nothing depends on it
_SHOWN = 500  # characters of a server's answer that are worth keeping


class MailDeferred(JobledgerError):
    """The mail was not taken; a later attempt may succeed."""

    code = "mail_deferred"


class MailRefused(JobledgerError):
    """The server said no for good (5xx, or it lacks what this mail needs). Nobody was mailed."""

    code = "mail_refused"


class MailInDoubt(JobledgerError):
    """The whole mail was written and no answer came: it may have been delivered or not, and no one can say."""

    code = "mail_in_doubt"


class Conversation:
    """What is said over one connection. `client` need not be connected yet; `timeout`: seconds for each reply."""

    def __init__(self, client: aiosmtplib.SMTP, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._writer: asyncio.StreamWriter | None = None  # lives as long as the connection: it would close it

    async def connect(self) -> None:
        """Connect, with TLS and AUTH where the client is told so, and say EHLO. Raises MailDeferred or MailRefused."""
        client = self._client
        with _named(f"connecting to {client.hostname}:{client.port}"):
            await client.connect()
        with _named("EHLO"):
            if client.is_ehlo_or_helo_needed:  # not after AUTH, which has said it
                try:
                    await client.ehlo()
                except aiosmtplib.SMTPHeloError as exc:
                    if not (_is_permanent(exc.code) and client.is_connected):
                        raise
                    await client.helo()  # RFC 5321 3.2: an old server

    async def offer(self, mail: Mail) -> None:
        """Say MAIL and RCPT. Raises MailDeferred or MailRefused, also when only some recipients are refused.

        All recipients or none: after a partial delivery, a retry would mail some of them twice.
        """
        client = self._client
        options = [f"SIZE={len(mail.content)}"] if client.supports_extension("size") else []
        if mail.utf8:
            if not client.supports_extension("smtputf8"):
                raise MailRefused("the server does not carry addresses with such characters before the @ (no SMTPUTF8)")
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        encoding = "utf-8" if mail.utf8 else "ascii"
        with _named("MAIL FROM"):
            await client.mail(mail.sender, options=options, encoding=encoding)
        refused: list[aiosmtplib.SMTPRecipientRefused] = []
        with _named("RCPT TO"):
            for recipient in mail.recipients:
                try:
                    await client.rcpt(recipient, encoding=encoding)
                except aiosmtplib.SMTPRecipientRefused as exc:
                    refused.append(exc)
                    if not client.is_connected:  # 421: it has hung up
                        break
        if refused:
            said = "; ".join(f"{exc.recipient}: {_shown(exc.code, exc.message)}" for exc in refused)
            text = f"RCPT TO: {len(refused)} of {len(mail.recipients)} recipients refused, nobody was mailed: {said}"
            if any(_is_permanent(exc.code) for exc in refused):
                raise MailRefused(text) from refused[0]
            raise MailDeferred(text) from refused[0]

    async def hand_over(self, mail: Mail) -> str:
        """Say DATA, write the message, then the dot; give the server's 2xx answer. Raises all three.

        Cancelled while it waits for that answer, it raises MailInDoubt.
        """
        with _named("DATA"):
            start = await self._client.execute_command(b"DATA")
            if start.code != 354:
                raise aiosmtplib.SMTPDataError(start.code, start.message)
        protocol = self._client.protocol
        if protocol is None or protocol.transport is None:
            raise MailDeferred("DATA: connection lost")
        # The standard library's writer around the same transport: its drain() waits for the protocol's flow control.
        transport = cast("asyncio.WriteTransport", protocol.transport)
        writer = self._writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        # Read from here on: the server may answer, or hang up, before it has the whole message.
        answer = asyncio.create_task(protocol.read_response())
        sending = asyncio.create_task(self._write_body(writer, mail.content))
        try:
            with _named("sending the message"):
                await asyncio.wait({answer, sending}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    early = answer.result()
                    raise SMTPResponseException(early.code, f"{early.message} (before the message was complete)")
                sending.result()
                if transport.is_closing():
                    raise ConnectionResetError("connection lost")
            # The order matters: from this line on nobody may say that the mail was not sent.
            writer.write(b".\r\n")
            try:
                async with asyncio.timeout(self._timeout):
                    final = await answer
            except (SMTPException, OSError) as exc:  # lost, timed out, or no SMTP reply
                raise _unanswered(_reason(exc)) from exc
            except asyncio.CancelledError as exc:  # what was cancelled here would else not be known to be in doubt
                raise _unanswered("told to stop") from exc
        finally:
            answer.cancel()
            sending.cancel()
            await asyncio.gather(answer, sending, return_exceptions=True)
        return _judge_final(final)

    async def part(self) -> None:
        """Say QUIT and close. The mail is taken, so nothing that fails here is an error."""
        with suppress(SMTPException, OSError):
            await self._client.quit(timeout=_GOODBYE)
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once: close() would first wait for the server to read what is still to be written."""
        transport = self._client.transport
        self._client.close()
        if transport is not None:
            cast("asyncio.WriteTransport", transport).abort()

    async def _write_body(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        """Write all but the final dot, dot-stuffed (RFC 5321 4.5.2), and wait until its last byte has left."""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        writer.transport.set_write_buffer_limits(high=0)  # drain() then means: handed to the system
        for start in range(0, len(stuffed), _CHUNK):
            writer.write(stuffed[start : start + _CHUNK])
            async with asyncio.timeout(self._timeout):
                await writer.drain()


def _unanswered(why: str) -> MailInDoubt:
    return MailInDoubt(
        f"in doubt: the whole mail was written, but its answer did not come ({why}); it may have been delivered"
    )


def _judge_final(final: SMTPResponse) -> str:
    said = _shown(final.code, final.message)
    if 200 <= final.code <= 299:
        return said
    if _is_permanent(final.code):
        raise MailRefused(f"the message was refused: {said}")
    if 400 <= final.code <= 499:
        raise MailDeferred(f"the message was refused for now: {said}")
    raise MailInDoubt(f"in doubt: the whole mail was written and answered by no final reply: {said}")


@contextmanager
def _named(phase: str) -> Iterator[None]:
    """Translate what aiosmtplib raises before the final dot, naming the phase."""
    try:
        yield
    except SMTPResponseException as exc:
        text = f"{phase}: {_shown(exc.code, exc.message)}"
        raise (MailRefused if _is_permanent(exc.code) else MailDeferred)(text) from exc
    except (SMTPException, OSError) as exc:
        raise MailDeferred(f"{phase}: {_reason(exc)}") from exc


def _is_permanent(code: int) -> bool:
    return 500 <= code <= 599


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return str(exc) or "timed out"
    return _printable(str(exc)) or type(exc).__name__


def _shown(code: int, message: str) -> str:
    return f"{code} {_printable(message)}".strip()


def _printable(text: str) -> str:
    """A server's words as one line that any log and JSON can hold (aiosmtplib gives undecodable bytes as surrogates)."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SHOWN]
