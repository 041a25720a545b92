"""The SMTP side: takes every mail that is a mail, from anyone, and puts it into the store. No rules, no relaying."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

from adapters.mail_catcher.store import Envelope, MailStore

LARGEST = 25 * 1024 * 1024  # bytes of a message: what the large providers take
_LONGEST_LINE = 1024 * 1024  # bytes; RFC 5321 says 1,000, but a catcher that refuses what it should show is no help
_LONGEST_COMMAND = 4096  # bytes: room for addresses in UTF-8 and all parameters


async def serve_smtp(store: MailStore, listener: socket.socket) -> asyncio.Server:
    """Take mails on `listener` (bound) until the server that is returned is closed."""
    # aiosmtpd tells every command (info) and its own old ways (warning); this log is for what is wrong.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    handler = _Handler(store)
    return await loop.create_server(lambda: _Protocol(handler, loop=loop), sock=listener)


class _Handler:
    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        caught = Envelope(
            sender=_text(envelope.mail_from or ""),
            recipients=tuple(_text(recipient) for recipient in envelope.rcpt_tos),
            helo=_text(session.host_name or ""),
            created=datetime.now(UTC),
        )
        try:
            mail_id = await asyncio.to_thread(self._store.add, caught, envelope.original_content or b"")
        except OSError as exc:
            return f"452 4.3.1 The mail cannot be stored: {exc.strerror or 'input/output error'}"
        return f"250 2.0.0 Ok: kept as {mail_id}"


class _Protocol(SMTP):
    line_length_limit = _LONGEST_LINE

    def __init__(self, handler: _Handler, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            handler,
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            hostname="localhost",  # else it asks the DNS, in the event loop
            ident="Jobledger mail catcher",
            auth_require_tls=False,
            authenticator=_let_in,
            loop=loop,
        )
        # Of the instance: the class's own is cleared by each new connection, under the feet of the others.
        self.command_size_limits = defaultdict(lambda: _LONGEST_COMMAND)


def _let_in(*_: Any) -> AuthResult:
    """Whoever logs in may: so MAIL_USERNAME and MAIL_PASSWORD can be tried out."""
    return AuthResult(success=True)


def _text(text: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates, which no JSON holds."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
