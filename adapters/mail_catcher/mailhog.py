"""A mail in the JSON form of MailHog's API, as its clients read it.

The form is that of github.com/mailhog/data: headers are lists under the names as written, bodies are not decoded, and a
multipart is cut at its boundary lines. So this is string cutting, on purpose, and no MIME parser: no message breaks it.
"""

from __future__ import annotations

import re
from datetime import datetime

from msgspec import Struct

from adapters.mail_catcher.store import CaughtMail

_DEEPEST = 10  # levels of multipart that are cut; beyond, a part stays whole
_MOST_PARTS = 1000


class Path(Struct, frozen=True, rename="pascal"):
    """A mailbox: `mailbox`@`domain`."""

    mailbox: str
    domain: str
    relays: list[str] | None = None
    params: str = ""


class Content(Struct, frozen=True, rename={"headers": "Headers", "body": "Body", "size": "Size", "mime": "MIME"}):
    """A message or a part of one."""

    headers: dict[str, list[str]]
    body: str
    size: int
    mime: MimeBody | None = None


class MimeBody(Struct, frozen=True, rename="pascal"):
    """The parts of a multipart."""

    parts: list[Content]


class Raw(Struct, frozen=True, rename={"sender": "From", "to": "To", "data": "Data", "helo": "Helo"}):
    """What SMTP said."""

    sender: str
    to: list[str]
    data: str
    helo: str


_NAMES = {
    "id": "ID", "sender": "From", "to": "To", "content": "Content", "created": "Created", "mime": "MIME", "raw": "Raw",
}  # fmt: skip


class Message(Struct, frozen=True, rename=_NAMES):
    """One mail."""

    id: str
    sender: Path
    to: list[Path]
    content: Content
    created: datetime
    mime: MimeBody | None
    raw: Raw


class Messages(Struct, frozen=True):
    """One page of mails, newest first. `total` is of all pages."""

    total: int
    count: int
    start: int
    items: list[Message]


def as_message(mail: CaughtMail) -> Message:
    """`mail` in MailHog's form. Bytes that are no UTF-8 become U+FFFD, as there."""
    envelope = mail.envelope
    data = mail.content.decode("utf-8", "replace")
    # A file of another's may have the line breaks of its system.
    content = _content(data if "\r\n" in data else data.replace("\n", "\r\n"), depth=0)
    return Message(
        id=mail.id,
        sender=_path(envelope.sender),
        to=[_path(recipient) for recipient in envelope.recipients],
        content=content,
        created=envelope.created,
        mime=content.mime,
        raw=Raw(sender=envelope.sender, to=list(envelope.recipients), data=data, helo=envelope.helo),
    )


def _path(address: str) -> Path:
    mailbox, _, domain = address.rpartition("@")
    return Path(mailbox=mailbox or domain, domain=domain if mailbox else "")


def _content(text: str, *, depth: int) -> Content:
    head, gap, body = text.partition("\r\n\r\n")
    if not gap and ": " not in head.partition("\r\n")[0]:  # a preamble, or a message without headers
        return Content(headers={}, body=text, size=len(text))
    headers: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in head.split("\r\n"):
        name, colon, value = line.partition(": ")
        if line[:1] in (" ", "\t") and values:
            values[-1] += line
        elif colon:
            values = headers.setdefault(name, [])
            values.append(value)
    return Content(headers=headers, body=body, size=len(text), mime=_mime(headers, body, depth=depth))


_BOUNDARY = re.compile(r'multipart/[^;]*;.*?boundary="?([^";]+)', re.IGNORECASE | re.DOTALL)


def _mime(headers: dict[str, list[str]], body: str, *, depth: int) -> MimeBody | None:
    types = next((values for name, values in headers.items() if name.lower() == "content-type"), [""])
    found = _BOUNDARY.search(types[0][:2000])
    if found is None or depth == _DEEPEST:
        return None
    pieces = body.split(f"--{found[1].strip()}")[:_MOST_PARTS]
    # As there, the preamble is a part if there is one; the closing "--" is none.
    parts = [piece.strip("\r\n") for piece in pieces if piece.strip("\r\n") not in ("", "--")]
    return MimeBody(parts=[_content(part, depth=depth + 1) for part in parts])
