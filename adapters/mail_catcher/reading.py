"""A mail as people read it: decoded headers, text, HTML, attachments. Whatever it is made of, it gives something.

By `email` with its tolerant, older policy: the newer one raises on some malformed headers. Mails are hostile: each step has
a bound, and where the parser itself gives up there is still the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.policy import compat32

from msgspec import Struct

_LONGEST_HEADER = 4000  # characters that are decoded and shown
_MOST_HEADERS = 300
_MOST_PARTS = 200
_MOST_MULTIPARTS = 100
_LONGEST_TEXT = 1_000_000  # characters of a text that are shown


class Part(Struct, frozen=True):
    """An attachment, or an image that the HTML refers to by its Content-ID. `number` names it in URLs."""

    number: int
    name: str
    type: str
    content_id: str
    content: bytes


class ReadableMail(Struct, frozen=True):
    """What can be shown of a mail."""

    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    html: str | None = None
    parts: tuple[Part, ...] = ()

    def header(self, name: str) -> str:
        """The first header of that name (lower case), or an empty text."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def read_mail(content: bytes) -> ReadableMail:
    """Decode as much of a message as can be decoded. Raises nothing for whatever bytes it is given."""
    # Parts in parts in parts cost the parser the square of their depth, so of such a mail only the headers are read.
    too_deep = content.lower().count(b"multipart/") > _MOST_MULTIPARTS
    try:
        parse = BytesHeaderParser(policy=compat32).parsebytes if too_deep else BytesParser(policy=compat32).parsebytes
        message = parse(content)
        headers = read_headers(message)
    except Exception:  # noqa: BLE001 - the parser is not mine, the input is anyone's: too deep, no such codec, …
        return ReadableMail()
    if too_deep:
        return ReadableMail(headers=headers)
    try:
        return _with_body(message, headers)
    except Exception:  # noqa: BLE001 - likewise
        return ReadableMail(headers=headers)


def read_headers(message: Message) -> tuple[tuple[str, str], ...]:
    """The headers in order, decoded."""
    return tuple((_clean(name), decoded(str(value))) for name, value in message.items()[:_MOST_HEADERS])


def decoded(value: str) -> str:
    """A header's value on one line, its encoded words (RFC 2047) as text."""
    value = re.sub(r"\r?\n[ \t]*", " ", value[:_LONGEST_HEADER])
    try:
        pieces = decode_header(value)
    except Exception:  # noqa: BLE001 - of the many ways in which an encoded word can be broken
        return _clean(value)
    return _clean("".join(_decode(piece, charset) if isinstance(piece, bytes) else piece for piece, charset in pieces))


def _with_body(message: Message, headers: tuple[tuple[str, str], ...]) -> ReadableMail:
    text: str | None = None
    html: str | None = None
    parts: list[Part] = []
    for leaf in _leaves(message):
        content_type = leaf.get_content_type()
        payload = leaf.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        attached = "attachment" in str(leaf.get("Content-Disposition", "")).lower() or leaf.get_filename() is not None
        if not attached and content_type == "text/plain" and text is None:
            text = _decode(content, leaf.get_param("charset"))[:_LONGEST_TEXT]
        elif not attached and content_type == "text/html" and html is None:
            html = _decode(content, leaf.get_param("charset"))[:_LONGEST_TEXT]
        elif len(parts) < _MOST_PARTS:
            parts.append(
                Part(
                    number=len(parts),
                    name=_file_name(leaf, number=len(parts)),
                    type=content_type,
                    content_id=_clean(str(leaf.get("Content-ID", ""))).strip("<> "),
                    content=content,
                )
            )
    return ReadableMail(headers=headers, text=text, html=html, parts=tuple(parts))


def _leaves(message: Message) -> Iterator[Message]:
    for part in message.walk():
        if not part.is_multipart():
            yield part


def _file_name(part: Message, *, number: int) -> str:
    name = decoded(str(part.get_filename() or ""))
    name = re.sub(r"[/\\]", "_", name).strip(". ")
    return name[:150] or f"part-{number + 1}"


def _decode(content: bytes, charset: object) -> str:
    try:
        text = content.decode(str(charset or "utf-8"), "replace")
    except (LookupError, ValueError, TypeError):  # an unknown charset, or a codec that is none for text
        text = content.decode("utf-8", "replace")
    return _clean(text)


def _clean(text: str) -> str:
    """Without what no page can hold: lone surrogates (bytes that no charset explains) and NUL."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
