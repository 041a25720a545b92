"""A mail as bytes. The same input gives the same bytes, so that every attempt of a job sends the very same mail.

No clock, no random and nothing that a server announces may come in: each would make the second copy another mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from msgspec import Struct

from adapters.smtp.headers import address_list, unstructured
from adapters.smtp.mailbox import InvalidMail, Mailbox, single_line


class Mail(Struct, frozen=True):
    """An envelope and the message in it, in the form that DATA wants but for dot-stuffing."""

    sender: str
    recipients: tuple[str, ...]  # each once, in the order given
    message_id: str  # with its angle brackets
    content: bytes  # lines end in CRLF, the last one too
    utf8: bool  # an address needs SMTPUTF8


def compose(
    *,
    job_id: str,
    created_at: datetime,
    sender: Mailbox,
    to: Sequence[Mailbox],
    cc: Sequence[Mailbox] = (),
    reply_to: Mailbox | None = None,
    subject: str,
    body: str,
    html: str | None = None,
) -> Mail:
    """Build the mail of a job: Message-ID from its id, Date from its creation. Raises InvalidMail."""
    if not to:
        raise InvalidMail("to: holds no address")
    boxes = [sender, *to, *cc, *([reply_to] if reply_to else [])]
    message_id = f"<{job_id}@{sender.domain}>"
    headers = [
        ("From", address_list([sender])),
        ("To", address_list(to)),
        *([("Cc", address_list(cc))] if cc else []),
        *([("Reply-To", address_list([reply_to]))] if reply_to else []),
        ("Subject", unstructured(single_line(subject, field="subject"), name="Subject")),
        ("Date", format_datetime(created_at.astimezone(UTC))),
        ("Message-ID", message_id),
    ]
    # cte_type 7bit: whether the next server knows 8BITMIME must not change the bytes.
    parts = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    parts.set_content(_encodable(body, field="body"), cte=_transfer_encoding(body))
    if html is not None:
        parts.add_alternative(_encodable(html, field="html"), subtype="html", cte=_transfer_encoding(html))
        # No text can hold its own digest, so the boundary cannot occur in a part.
        digest = hashlib.sha256("\0".join((job_id, body, html)).encode()).hexdigest()
        parts.set_boundary(f"=_{digest[:40]}")
    content = "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + parts.as_bytes()
    addresses = dict.fromkeys(box.address for box in (*to, *cc))
    return Mail(
        sender=sender.address,
        recipients=tuple(addresses),
        message_id=message_id,
        # Whatever the generator lets through: a bare CR or LF in DATA is how mails are smuggled into mails.
        content=re.sub(rb"\r\n|\r|\n", b"\r\n", content),
        utf8=any(box.needs_smtputf8 for box in boxes),
    )


# What a 7bit part may not hold (RFC 2045 2.7) or servers change: such a text travels as base64.
_NOT_FOR_7BIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _transfer_encoding(text: str) -> str | None:
    return "base64" if _NOT_FOR_7BIT.search(text) else None  # None: the shorter of what is allowed


def _encodable(text: str, *, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidMail(f"{field}: holds half a character (a lone surrogate), which cannot be sent") from exc
    return text
