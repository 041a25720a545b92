"""Which addresses may be mailed to, and how they are read."""

from __future__ import annotations

import pytest
from aiosmtplib.email import parse_address
from hypothesis import given
from hypothesis import strategies as st

from adapters.smtp.mailbox import InvalidMail, Mailbox, parse_mailbox


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.com", Mailbox("ann", "example.com")),
        ("  ann@example.com ", Mailbox("ann", "example.com")),
        ("<ann@example.com>", Mailbox("ann", "example.com")),
        ("Ann <ann@example.com>", Mailbox("ann", "example.com", "Ann")),
        ('"Smith, Ann \\"A\\"" <ann@example.com>', Mailbox("ann", "example.com", 'Smith, Ann "A"')),
        ("Jürgen Müller <j.m+x@example.com>", Mailbox("j.m+x", "example.com", "Jürgen Müller")),
        ("o'brien{x}@mail.example.com", Mailbox("o'brien{x}", "mail.example.com")),
        ("root@localhost", Mailbox("root", "localhost")),
        ("a@straße.de", Mailbox("a", "xn--strae-oqa.de")),
        ("a@BÜCHER.example", Mailbox("a", "xn--bcher-kva.example")),
        ("jürgen@example.com", Mailbox("jürgen", "example.com")),
        ("u\u0308@example.com", Mailbox("ü", "example.com")),
        ("a@[127.0.0.1]", Mailbox("a", "[127.0.0.1]")),
        ("a@[IPv6:::1]", Mailbox("a", "[IPv6:::1]")),
        ("x" * 64 + "@example.com", Mailbox("x" * 64, "example.com")),
    ],
)
def test_an_address_with_or_without_a_name_is_read(text: str, expected: Mailbox) -> None:
    assert parse_mailbox(text, field="to") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@@example.com",
        "ann@example..com",
        ".ann@example.com",
        "ann.@example.com",
        "ann smith@example.com",
        "ann@exa mple.com",
        "ann@-example.com",
        "ann@example.com.",
        "ann@[300.0.0.1]",
        "ann@[IPv6:zz]",
        "ann@\u2028example.com",
        "ann\u00a0@example.com",
        "ann@xn--\u00fc.example",
        "ann@example.com, bob@example.com",
        "Ann <ann@example.com> Bob",
        "Ann <<ann@example.com>>",
        "<ann@example.com> NOTIFY=NEVER",
        "ann@example.com> NOTIFY=<NEVER",
        '"a b"@example.com',
        "x" * 65 + "@example.com",
        "a@" + "x" * 64 + ".com",
        "a@" + ".".join(["x" * 60] * 5),
        "ann@example.com\r\n",
        "ann\0@example.com",
        "ann@example.com\x7f",
        "\ud800@example.com",
    ],
)
def test_what_is_no_address_is_refused_with_the_fields_name(text: str) -> None:
    with pytest.raises(InvalidMail, match=r"^cc: "):
        parse_mailbox(text, field="cc")


@given(st.text(max_size=40) | st.from_regex(r"[^@\r\n]{1,20}@[a-z.\u00e4\u00df-]{1,20}", fullmatch=True))
def test_whatever_is_accepted_is_one_address_to_the_smtp_client_as_well(text: str) -> None:
    try:
        mailbox = parse_mailbox(text, field="to")
    except InvalidMail:
        return
    assert parse_address(mailbox.address) == mailbox.address
    assert mailbox.domain.isascii()
