"""Sends mails, each over a connection of its own. (This is the place where connections would be kept for the next mail.)"""

from __future__ import annotations

import asyncio
import socket

import aiosmtplib

from adapters.smtp.compose import Mail
from adapters.smtp.config import MailConfig
from adapters.smtp.conversation import Conversation


class MailSender:
    """Sends mails through the server of `config`."""

    def __init__(self, config: MailConfig) -> None:
        self._config = config
        self._goodbyes: set[asyncio.Task[None]] = set()  # held here, since a loop holds its tasks only weakly

    async def send(self, mail: Mail) -> str:
        """Hand over `mail` for all of its recipients or for none, and give the server's answer.

        Raises MailDeferred, MailRefused or MailInDoubt (also when cancelled while the final answer is awaited). However it ends,
        the connection is closed.
        """
        conversation = Conversation(self._client(), timeout=self._config.timeout)
        try:
            await conversation.connect()
            await conversation.offer(mail)
            response = await conversation.hand_over(mail)
        except BaseException:
            conversation.abort()
            raise
        # Not awaited: being cancelled while waiting for a goodbye would forget that the mail was taken.
        goodbye = asyncio.create_task(conversation.part())
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)
        goodbye.add_done_callback(lambda _: conversation.abort())  # also where the loop ends before the goodbye began
        return response

    def _client(self) -> aiosmtplib.SMTP:
        config = self._config
        return aiosmtplib.SMTP(
            hostname=config.host,
            port=config.port,
            local_hostname=_own_name(),
            timeout=config.timeout,
            use_tls=config.tls == "tls",
            start_tls=config.tls == "starttls",
            cert_bundle=config.ca_file or None,
            username=config.username or None,
            password=config.password,
        )


def _own_name() -> str:
    """Who says EHLO: this host if it has a full name, else an address literal (RFC 5321 4.1.3). Asks no DNS."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() and not any(char.isspace() for char in name) else "[127.0.0.1]"
