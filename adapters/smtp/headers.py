"""Header values, folded and encoded (RFC 5322 2.2.3, RFC 2047).

By the older `email.header`, not by `email.policy`: the latter, folding a long list of addresses with a name that is not
ASCII, encodes the commas between them too (https://github.com/python/cpython/issues/100884), and readers then see one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.header import Header
from email.utils import quote

from adapters.smtp.mailbox import Mailbox

_WIDTH = 76  # characters a line
# What can stand as it is: words that can be folded between, and no text that would be read as an encoded word.
_PLAIN = re.compile(r"(?!.*=\?)[!-~]{1,60}(?: [!-~]{1,60})*")


def unstructured(text: str, *, name: str) -> str:
    """The value of a header such as Subject. `text` holds no line breaks."""
    charset = "us-ascii" if _PLAIN.fullmatch(text) or not text else "utf-8"
    return Header(text, charset, maxlinelen=_WIDTH, header_name=name).encode(linesep="\r\n")


def address_list(boxes: Sequence[Mailbox]) -> str:
    """The value of a header such as To, one address a line. Addresses are not encoded: see `Mailbox.needs_smtputf8`."""
    return ",\r\n ".join(_named_address(box) for box in boxes)


def _named_address(box: Mailbox) -> str:
    if not box.name:
        return box.address
    if _PLAIN.fullmatch(box.name) and len(box.name) <= _WIDTH:
        return f'"{quote(box.name)}" <{box.address}>'
    name = Header(box.name, "utf-8", maxlinelen=_WIDTH, header_name="Reply-To").encode(linesep="\r\n")
    fits = "\r\n" not in name and len(name) + len(box.address) < _WIDTH - 10
    return f"{name} <{box.address}>" if fits else f"{name}\r\n <{box.address}>"
