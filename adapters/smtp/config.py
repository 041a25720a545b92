"""How mail is sent: what of the settings concerns it, judged once when a process starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from adapters.smtp.mailbox import Mailbox, parse_mailbox


class MailConfig(Struct, frozen=True, kw_only=True):
    """The mail server, and as whom and how to speak to it."""

    host: str
    port: int
    sender: Mailbox
    username: str = ""  # empty: no AUTH
    password: str = ""
    tls: Literal["none", "starttls", "tls"] = "none"
    ca_file: str = ""  # PEM: trusted beside the system's authorities
    timeout: float = 30.0  # seconds, for each reply of the server and for each piece of the message
    resend_in_doubt: bool = True


def mail_config(settings: Mapping[str, Any]) -> MailConfig:
    """Make the configuration of the settings named MAIL_…. Raises InvalidMail for a MAIL_FROM that is no address."""
    return MailConfig(
        host=settings["MAIL_HOST"],
        port=settings["MAIL_PORT"],
        sender=parse_mailbox(settings["MAIL_FROM"], field="MAIL_FROM"),
        username=settings["MAIL_USERNAME"],
        password=settings["MAIL_PASSWORD"],
        tls=settings["MAIL_TLS"],
        ca_file=settings["MAIL_CA_FILE"],
        timeout=settings["MAIL_TIMEOUT_SECONDS"],
        resend_in_doubt=settings["MAIL_RESEND_IN_DOUBT"],
    )
