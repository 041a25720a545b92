"""A mail's bytes: what goes in can be read out again, nothing else comes in, and the same input gives the same bytes."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.smtp.compose import Mail, compose
from adapters.smtp.mailbox import InvalidMail, Mailbox, parse_mailbox
from tests.contexts import CREATED_AT, JOB_ID

SENDER = parse_mailbox("Jobledger <jobs@example.org>", field="MAIL_FROM")
ANN = Mailbox("ann", "example.com")

line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)
names = st.one_of(st.just(""), line.map(lambda text: " ".join(text.split())))
boxes = st.builds(
    Mailbox, local=st.from_regex(r"[a-z]{1,64}", fullmatch=True), domain=st.just("example.com"), name=names
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def composed(**changes: Any) -> Mail:
    given = {"sender": SENDER, "to": [ANN], "subject": "Hi", "body": "Hi"}
    return compose(job_id=JOB_ID, created_at=CREATED_AT, **{**given, **changes})


def read(mail: Mail) -> EmailMessage:
    return message_from_bytes(mail.content, policy=policy.default)


def lines(content: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", content)


def body_of(message: EmailMessage, kind: str) -> list[str]:
    part = message.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return lines(payload.decode())


@given(subject=line, to=st.lists(boxes, min_size=1, max_size=6), body=text, html=st.none() | text)
def test_what_goes_in_is_what_a_reader_gets(subject: str, to: list[Mailbox], body: str, html: str | None) -> None:
    mail = composed(subject=subject, to=to, cc=to[:2], reply_to=to[0], body=body, html=html)
    message = read(mail)
    # A folded header is unfolded to the same words; how many spaces stood there, no reader promises to keep.
    assert message["Subject"].split() == subject.split()
    for header, expected in (("To", to), ("Cc", to[:2]), ("Reply-To", to[:1])):
        assert [address.addr_spec for address in message[header].addresses] == [box.address for box in expected]
        # The names by the older parser: the newer one shows a space where an encoded name is folded.
        pairs = getaddresses([message_from_bytes(mail.content, policy=policy.compat32)[header]])
        assert [str(make_header(decode_header(name))) for name, _ in pairs] == [box.name for box in expected]
    assert body_of(message, "plain") in (lines(body), [*lines(body), ""])
    if html is not None:
        assert body_of(message, "html") in (lines(html), [*lines(html), ""])


@given(subject=line, to=st.lists(boxes, min_size=1, max_size=4), body=text, html=st.none() | text)
def test_the_bytes_are_lines_that_any_server_carries(
    subject: str, to: list[Mailbox], body: str, html: str | None
) -> None:
    content = composed(subject=subject, to=to, body=body, html=html).content
    assert content.isascii()
    assert content.endswith(b"\r\n")
    assert re.sub(rb"\r\n", b"", content).count(b"\n") == 0
    assert re.sub(rb"\r\n", b"", content).count(b"\r") == 0
    assert b"\0" not in content
    assert max(len(one) for one in content.split(b"\r\n")) <= 998  # RFC 5322 2.1.1
    names_of_headers = {
        one.partition(b":")[0] for one in re.split(rb"\r\n(?![ \t])", content.partition(b"\r\n\r\n")[0])
    }
    assert names_of_headers == {
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type",
        *([b"Content-Transfer-Encoding"] if html is None else []),
    }  # fmt: skip


@given(subject=line, body=text, html=st.none() | text)
def test_the_same_input_gives_the_same_bytes(subject: str, body: str, html: str | None) -> None:
    assert composed(subject=subject, body=body, html=html) == composed(subject=subject, body=body, html=html)


def test_message_id_and_date_are_the_jobs() -> None:
    mail = composed()
    message = read(mail)
    assert mail.message_id == message["Message-ID"] == f"<{JOB_ID}@example.org>"
    assert message["Date"] == "Tue, 27 Jan 2026 10:30:00 +0000"


def test_each_recipient_is_named_once() -> None:
    mail = composed(to=[ANN, Mailbox("bob", "example.com")], cc=[Mailbox("ann", "example.com", "Ann again")])
    assert mail.recipients == ("ann@example.com", "bob@example.com")


def test_long_names_beyond_ascii_leave_the_addresses_apart() -> None:
    to = [Mailbox(f"user{number}" * 8, "example.com", f"Jürgen Müller, Abteilung {number} " * 3) for number in range(9)]
    assert len(read(composed(to=to))["To"].addresses) == 9


@pytest.mark.parametrize("control", ["\r", "\n", "\0", "\x1b", "\x85", "\u2028", "\ud800"])
def test_a_subject_with_a_control_character_is_refused(control: str) -> None:
    with pytest.raises(InvalidMail, match=r"^subject: holds the character U\+"):
        composed(subject=f"Hi{control}Bcc: eve@example.com")


def test_a_lone_surrogate_in_a_text_is_refused() -> None:
    with pytest.raises(InvalidMail, match=r"^html: "):
        composed(html="\ud800")


def test_a_long_subject_without_a_space_is_still_folded() -> None:
    assert read(composed(subject="x" * 3000))["Subject"] == "x" * 3000
