"""A mailbox: one address with an optional name, as a payload or a setting spells it. Judged here, before any connection."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

import idna
from msgspec import Struct

from domain.errors import JobledgerError


class InvalidMail(JobledgerError):
    """What was given makes no mail that may be sent; the same input never will."""

    code = "invalid_mail"


class Mailbox(Struct, frozen=True):
    """`local`@`domain`, with a name for readers. The domain is in its ASCII form; a local part need not be ASCII."""

    local: str
    domain: str
    name: str = ""

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 (RFC 6531) can carry the address."""
        return not self.local.isascii()


# dot-atom of RFC 5322 3.2.3, with the further characters of RFC 6531 3.3. Quoted local parts ("a b"@x) are legal, but
# nobody has one, and servers disagree on them.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>\s*")
_LOCAL_OCTETS, _ADDRESS_OCTETS = 64, 254  # RFC 5321 4.5.3.1.1 and, for a path without its brackets, 4.5.3.1.3


def single_line(text: str, *, field: str) -> str:
    """Give `text` back if it may stand in a header. Raises InvalidMail for line breaks, NUL and what else controls.

    A line break would end the header and begin one of the caller's choosing (CWE-93).
    """
    for char in text:
        # U+2028 and U+2029 break lines for some readers; a lone surrogate has no bytes to send.
        if (char != "\t" and unicodedata.category(char) in ("Cc", "Cs")) or char in "\u2028\u2029":
            raise InvalidMail(f"{field}: holds the character U+{ord(char):04X}, which may not stand in a header")
    return text


def parse_mailbox(text: str, *, field: str) -> Mailbox:
    """Read `ann@example.com` or `Ann <ann@example.com>`; `field` is named in errors. Raises InvalidMail.

    An international domain becomes ASCII (IDNA 2008), so that only a local part can ask for SMTPUTF8.
    """
    single_line(text, field=field)
    shown = repr(text if len(text) <= 80 else text[:80] + "…")
    named = _NAMED.fullmatch(text)
    name = named["name"].strip() if named else ""
    address = named["address"].strip() if named else text.strip()
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, at, domain = address.rpartition("@")
    if not at:
        raise InvalidMail(f"{field}: {shown} is no mail address: ann@example.com or Ann <ann@example.com> is wanted")
    if re.search(r"[,;]", address):
        raise InvalidMail(f"{field}: {shown} looks like several addresses: give each as an item of a list")
    local = unicodedata.normalize("NFC", local)
    if not _LOCAL.fullmatch(local) or not all(char.isprintable() and char != "\u3000" for char in local):
        raise InvalidMail(f"{field}: {shown} has a part before the @ that no mail address has")
    if len(local.encode()) > _LOCAL_OCTETS:
        raise InvalidMail(f"{field}: {shown} has more than {_LOCAL_OCTETS} bytes before the @")
    mailbox = Mailbox(local=local, domain=_ascii_domain(domain, field=field, shown=shown), name=name)
    if len(mailbox.address.encode()) > _ADDRESS_OCTETS:
        raise InvalidMail(f"{field}: {shown} is longer than {_ADDRESS_OCTETS} bytes")
    return mailbox


def _ascii_domain(domain: str, *, field: str, shown: str) -> str:
    problem = f"{field}: {shown} has a part after the @ that is no domain"
    if domain.startswith("[") and domain.endswith("]"):  # an address literal, RFC 5321 4.1.3
        try:
            if domain[1:6].lower() == "ipv6:":
                return f"[IPv6:{ipaddress.IPv6Address(domain[6:-1])}]"
            return f"[{ipaddress.IPv4Address(domain[1:-1])}]"
        except ValueError as exc:
            raise InvalidMail(problem) from exc
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as exc:
            raise InvalidMail(f"{problem}: {exc}") from exc
    if not _DOMAIN.fullmatch(domain):
        raise InvalidMail(problem)
    return domain
