"""EMAIL_SEND against real servers: one that does as a script says, and aiosmtpd with TLS and AUTH."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

import jobledger
from adapters.job_types.email_send import Email, email_send, job_type
from adapters.smtp.config import MailConfig
from adapters.smtp.conversation import MailDeferred, MailInDoubt
from adapters.smtp.mailbox import InvalidMail, parse_mailbox
from entrypoints.settings import read_settings
from tests.conftest import free_port
from tests.contexts import JOB_ID, HandlerContext, as_context
from tests.scripted_smtp import Trouble, scripted_smtp
from tests.until import until

CERTIFICATES = Path(__file__).parent.parent / "certificates"
AUTHORITY, LOCALHOST = CERTIFICATES / "authority.pem", CERTIFICATES / "localhost.pem"
CUT, STALL = Trouble.CUT, Trouble.STALL
EMAIL = Email(to="ann@example.com", subject="Hello", body="How are you?\n")
LARGE = Email(to="ann@example.com", subject="Hello", body=("x" * 60 + "\n") * 100_000)  # no system's buffers hold it


def config(port: int, **changes: Any) -> MailConfig:
    sender = parse_mailbox("Jobledger <jobs@example.org>", field="MAIL_FROM")
    return MailConfig(**{"host": "127.0.0.1", "port": port, "sender": sender, **changes})


async def attempt(port: int, payload: Email = EMAIL, **changes: Any) -> dict[str, Any]:
    """One attempt as a worker makes it; the result as the log will hold it."""
    result = await email_send(config(port, **changes)).run(payload, as_context(HandlerContext()))
    return msgspec.json.decode(msgspec.json.encode(result), type=dict[str, Any])


async def outcome(port: int, payload: Email = EMAIL, **changes: Any) -> str:
    """What one attempt comes to, in a word."""
    try:
        await attempt(port, payload, **changes)
    except jobledger.PermanentError:
        return "permanent"
    except MailInDoubt as exc:
        return str(exc).partition(":")[0]
    except MailDeferred:
        return "ordinary"
    return "success"


async def test_a_mail_that_the_server_takes_gives_its_message_id_recipients_and_answer() -> None:
    async with scripted_smtp() as smtp:
        payload = Email(to=["Ann <ann@example.com>", "bob@example.com"], cc="ann@example.com", subject="Hi", body="Hi")
        result = await attempt(smtp.port, payload)
        await until(lambda: "QUIT" in smtp.commands, saw=lambda: smtp.commands)
    assert result == {
        "messageId": f"<{JOB_ID}@example.org>",
        "accepted": ["ann@example.com", "bob@example.com"],
        "response": "250 2.0.0 kept",
    }
    assert smtp.commands[1].startswith("MAIL FROM:<jobs@example.org> SIZE=")
    assert smtp.commands[2:4] == ["RCPT TO:<ann@example.com>", "RCPT TO:<bob@example.com>"]
    assert len(smtp.copies) == 1


@pytest.mark.parametrize(
    ("phase", "action", "expected"),
    [
        ("connect", CUT, "ordinary"),
        ("connect", "421 busy", "ordinary"),
        ("connect", "554 go away", "permanent"),
        ("connect", "what is this", "ordinary"),
        ("EHLO", CUT, "ordinary"),
        ("EHLO", "421 closing", "ordinary"),
        ("EHLO", "502 only HELO here", "success"),
        ("MAIL", CUT, "ordinary"),
        ("MAIL", "451 later", "ordinary"),
        ("MAIL", "550 never", "permanent"),
        ("RCPT", CUT, "ordinary"),
        ("RCPT", "450 later", "ordinary"),
        ("RCPT", "421 closing", "ordinary"),
        ("RCPT", "550 no such user", "permanent"),
        ("DATA", CUT, "ordinary"),
        ("DATA", "452 full", "ordinary"),
        ("DATA", "554 no", "permanent"),
        ("dot", CUT, "in doubt"),
        ("dot", "what is this", "in doubt"),
        ("dot", "354 go on", "in doubt"),
        ("dot", "451 later", "ordinary"),
        ("dot", "421 closing", "ordinary"),
        ("dot", "554 spam", "permanent"),
        ("dot", "252 perhaps", "success"),
        ("QUIT", CUT, "success"),
        ("QUIT", STALL, "success"),
        ("QUIT", "500 what", "success"),
    ],
)
async def test_each_phase_and_answer_has_its_outcome(phase: str, action: str | Trouble, expected: str) -> None:
    async with scripted_smtp(**{phase: action}) as smtp:
        assert await outcome(smtp.port) == expected
        if expected in ("success", "in doubt"):
            await until(lambda: len(smtp.copies) == 1)
        smtp.go_on.set()


async def test_a_server_that_falls_silent_before_the_dot_is_an_error_and_after_it_a_doubt() -> None:
    async def silent_at(phase: str) -> tuple[str, str]:
        async with scripted_smtp(**{phase: STALL}) as smtp:
            found = await outcome(smtp.port, timeout=3)
            smtp.go_on.set()
            await asyncio.wait_for(smtp.left.wait(), 30)  # the connection is closed, not kept
            return phase, found

    phases = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "dot")
    found = dict(await asyncio.gather(*(silent_at(phase) for phase in phases)))
    assert found == {**dict.fromkeys(phases, "ordinary"), "dot": "in doubt"}


async def test_a_server_that_stops_reading_the_body_is_an_error_since_the_dot_was_not_written() -> None:
    async with scripted_smtp(body=STALL) as smtp:
        assert await outcome(smtp.port, LARGE, timeout=1) == "ordinary"
        smtp.go_on.set()
        await asyncio.wait_for(smtp.left.wait(), 30)
    assert smtp.copies == []


async def test_a_connection_lost_in_the_body_is_an_error_since_the_dot_was_not_written() -> None:
    async with scripted_smtp(body=CUT) as smtp:
        assert await outcome(smtp.port, LARGE) == "ordinary"
    assert smtp.copies == []


async def test_a_refusal_in_the_middle_of_the_body_is_heard() -> None:
    async with scripted_smtp(body="552 too large") as smtp:
        assert await outcome(smtp.port, LARGE) == "permanent"
    assert smtp.copies == []


async def test_nobody_listening_is_an_ordinary_error_that_names_the_server() -> None:
    port = free_port()
    with pytest.raises(MailDeferred, match=f"connecting to 127.0.0.1:{port}"):
        await attempt(port)


async def test_one_refused_recipient_of_several_keeps_the_mail_from_all() -> None:
    async with scripted_smtp(RCPT="550 5.1.1 no such user") as smtp:
        payload = Email(to=["ann@example.com", "bob@example.com"], subject="Hi", body="Hi")
        with pytest.raises(jobledger.PermanentError, match=r"2 of 2 .* nobody was mailed: ann@example.com: 550"):
            await attempt(smtp.port, payload)
        assert "DATA" not in smtp.commands
    assert smtp.copies == []


async def test_in_doubt_the_next_attempt_sends_the_same_bytes_with_the_same_message_id() -> None:
    payload = Email(
        to=["Jürgen <j@example.com>", "ann@example.com"],
        cc="c@example.com",
        subject="Grüße",
        body="Hällo\n.\n",
        html="<b>é",
    )
    async with scripted_smtp(dot=[CUT, STALL, "250 kept"]) as smtp:
        job = email_send(config(smtp.port, timeout=3))
        for number in (1, 2):
            with pytest.raises(MailInDoubt):
                await job.run(payload, as_context(HandlerContext(attempt=number)))
        smtp.go_on.set()
        await job.run(payload, as_context(HandlerContext(attempt=3)))
    assert len(smtp.copies) == 3
    assert len(set(smtp.copies)) == 1
    mail = message_from_bytes(smtp.copies[0], policy=policy.default)
    assert mail["Message-ID"] == f"<{JOB_ID}@example.org>"
    assert mail["Date"] == "Tue, 27 Jan 2026 10:30:00 +0000"


@pytest.mark.parametrize(("resend", "kind"), [(True, jobledger.RetryLater), (False, jobledger.PermanentError)])
async def test_an_attempt_that_is_told_to_stop_before_the_answer_to_the_dot_says_that_it_is_in_doubt(
    resend: bool, kind: type[Exception]
) -> None:
    context = HandlerContext()
    async with scripted_smtp(dot=STALL) as smtp:
        job = email_send(config(smtp.port, resend_in_doubt=resend))
        running = asyncio.create_task(job.run(EMAIL, as_context(context)))
        await asyncio.wait_for(smtp.reached["dot"].wait(), 30)
        context.should_stop = True
        running.cancel()
        with pytest.raises(kind, match=r"^in doubt: .* \(told to stop\)"):
            await running
        smtp.go_on.set()


async def test_without_resending_a_doubt_is_permanent_and_says_so() -> None:
    async with scripted_smtp(dot=CUT) as smtp:
        with pytest.raises(jobledger.PermanentError, match=r"^in doubt: "):
            await attempt(smtp.port, resend_in_doubt=False)


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot"])
async def test_cancelling_an_attempt_closes_its_connection(phase: str) -> None:
    async with scripted_smtp(**{phase: STALL}) as smtp:
        running = asyncio.create_task(attempt(smtp.port, LARGE if phase == "body" else EMAIL))
        await asyncio.wait_for(smtp.reached[phase].wait(), 30)
        running.cancel()
        with pytest.raises(MailInDoubt if phase == "dot" else asyncio.CancelledError):
            await running
        smtp.go_on.set()
        await asyncio.wait_for(smtp.left.wait(), 30)


@pytest.mark.parametrize(
    "payload",
    [
        Email(to="ann@example.com\r\nBcc: eve@example.com", subject="Hi", body=""),
        Email(to="ann@example.com", subject="Hi\nBcc: eve@example.com", body=""),
        Email(to="ann@example.com", subject="Hi\0", body=""),
        Email(to="ann@example.com", cc=["bob@example.com\n"], subject="Hi", body=""),
        Email(to="ann@example.com", reply_to="Bob\r <bob@example.com>", subject="Hi", body=""),
        Email(to="nobody", subject="Hi", body=""),
        Email(to=[], subject="Hi", body=""),
        Email(to="ann@example.com, bob@example.com", subject="Hi", body=""),
    ],
)
async def test_what_no_mail_may_hold_is_refused_for_good_before_any_connection(payload: Email) -> None:
    async with scripted_smtp() as smtp:
        assert await outcome(smtp.port, payload) == "permanent"
        assert smtp.connections == 0


async def test_a_local_part_beyond_ascii_needs_a_server_with_smtputf8() -> None:
    payload = Email(to="jürgen@bücher.example", subject="Hi", body="Hi")
    async with scripted_smtp() as smtp:
        assert (await attempt(smtp.port, payload))["accepted"] == ["jürgen@xn--bcher-kva.example"]
        assert smtp.commands[1].endswith("SMTPUTF8 BODY=8BITMIME")
        assert "jürgen@xn--bcher-kva.example".encode() in smtp.copies[0]
    async with scripted_smtp(EHLO="250 plain") as smtp:
        assert await outcome(smtp.port, payload) == "permanent"


async def test_what_a_server_answers_is_kept_as_one_clean_line() -> None:
    async with scripted_smtp(MAIL="550-not\x1b[31m\udcff you\r\n550 never") as smtp:
        with pytest.raises(jobledger.PermanentError) as caught:
            await attempt(smtp.port)
    assert str(caught.value) == "MAIL FROM: 550 not [31m\ufffd you never"


class _Keeps:
    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.encrypted: list[bool] = []
        self.users: list[object] = []

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.contents.append(envelope.original_content)
        self.encrypted.append(session.ssl is not None)
        self.users.append(session.auth_data)
        return "250 kept"


def _knows_ann(_server: SMTP, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
    known = given == LoginPassword(b"ann", "pässword".encode())
    return AuthResult(success=known, handled=False, auth_data=given.login if known else None)


@asynccontextmanager
async def aiosmtpd(*, implicit_tls: bool = False, **options: Any) -> AsyncIterator[tuple[int, _Keeps]]:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOCALHOST)
    keeps = _Keeps()

    def protocol() -> SMTP:
        return SMTP(keeps, hostname="localhost", loop=loop, tls_context=None if implicit_tls else context, **options)

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if implicit_tls else None)
    try:
        yield server.sockets[0].getsockname()[1], keeps
    finally:
        server.close()


async def test_starttls_encrypts_before_anything_is_said() -> None:
    async with aiosmtpd(require_starttls=True) as (port, keeps):
        await attempt(port, host="localhost", tls="starttls", ca_file=str(AUTHORITY))
    assert keeps.encrypted == [True]


async def test_tls_from_the_first_byte() -> None:
    async with aiosmtpd(implicit_tls=True) as (port, keeps):
        await attempt(port, host="localhost", tls="tls", ca_file=str(AUTHORITY))
    assert len(keeps.contents) == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_stops_the_mail(tls: str) -> None:
    async with aiosmtpd(implicit_tls=tls == "tls") as (port, keeps):
        with pytest.raises(MailDeferred, match="certificate"):
            await attempt(port, host="localhost", tls=tls)
    assert keeps.contents == []


async def test_a_server_without_starttls_gets_no_mail_in_the_clear() -> None:
    async with scripted_smtp() as smtp:
        with pytest.raises(MailDeferred, match="STARTTLS"):
            await attempt(smtp.port, tls="starttls")
    assert smtp.copies == []


async def test_user_and_password_are_given_where_they_are_set() -> None:
    async with aiosmtpd(auth_required=True, authenticator=_knows_ann) as (port, keeps):
        given: dict[str, Any] = {"host": "localhost", "tls": "starttls", "ca_file": str(AUTHORITY), "username": "ann"}
        await attempt(port, password="pässword", **given)
        assert keeps.users == [b"ann"]
        with pytest.raises(jobledger.PermanentError, match="535"):
            await attempt(port, password="wrong", **given)


async def test_the_entry_point_makes_the_type_of_the_settings() -> None:
    async with scripted_smtp() as smtp:
        settings = read_settings({"MAIL_PORT": str(smtp.port), "MAIL_FROM": "jobs@example.org"}, dotenv=None)
        made = job_type(msgspec.to_builtins(settings, enc_hook=str))
        assert made.name == "EMAIL_SEND"
        payload = msgspec.json.decode(
            b'{"to": "ann@example.com", "subject": "Hi", "body": "Hi", "replyTo": "bob@example.com"}', type=made.payload
        )
        await made.run(payload, as_context(HandlerContext()))
    assert b"\r\nReply-To: bob@example.com\r\n" in smtp.copies[0]


def test_a_mail_from_that_is_no_address_stops_the_start() -> None:
    settings = msgspec.to_builtins(read_settings({"MAIL_FROM": "nobody"}, dotenv=None), enc_hook=str)
    with pytest.raises(InvalidMail, match=r"^MAIL_FROM: 'nobody' is no mail address"):
        job_type(settings)
