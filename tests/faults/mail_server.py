"""A mail server that takes every mail and writes down each copy that it took: one JSON line, before it answers 250.

In a thread of its own, so that tests of any kind may use it; it may be stopped and started again on the same port.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from email import message_from_bytes, policy
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from msgspec import Struct

from tests.conftest import free_port

_encode = msgspec.json.Encoder().encode


class MailTaken(Struct, frozen=True, gc=False):
    """One copy of a mail that a server has taken, or may count as having taken, since it read the final dot."""

    message_id: str  # with its angle brackets; empty if it has none
    to: list[str]  # of the envelope, in order
    content: str  # SHA-256 of all of its bytes, in hex
    digest: str  # as in MailAsked
    at: float  # monotonic


def mail_digest(*, subject: str, body: str) -> str:
    """What is compared of a mail's text: of the decoded subject and body, in hex."""
    return hashlib.sha256(msgspec.json.encode([subject, body])).hexdigest()


def mail_taken(recipients: Sequence[str], content: bytes) -> MailTaken:
    """Read a mail as it came, without the dots that SMTP adds."""
    mail = message_from_bytes(content, policy=policy.default)
    return MailTaken(
        message_id=str(mail["Message-ID"] or ""),
        to=list(recipients),
        content=hashlib.sha256(content).hexdigest(),
        digest=mail_digest(subject=str(mail["Subject"] or ""), body=str(mail.get_content()).replace("\r\n", "\n")),
        at=time.monotonic(),
    )


class MailLog:
    """Appends what was taken to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, recipients: Sequence[str], content: bytes) -> None:
        """Write it down, in one piece."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, _encode(mail_taken(recipients, content)) + b"\n")
        finally:
            os.close(file)


class MailServer:
    """Takes mails on `port` of the loopback address. A context manager; or `start` and `stop`, any number of times."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = MailLog(log)
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = _Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self._log.add(envelope.rcpt_tos, envelope.original_content or b"")
        return "250 2.0.0 taken"


class _Controller(Controller):
    def factory(self) -> SMTP:
        smtp = SMTP(self.handler, enable_SMTPUTF8=True, hostname="localhost", loop=self.loop)
        smtp.command_size_limits = defaultdict(lambda: 4096)  # of the instance: the class's own is shared
        return smtp
