"""EMAIL_SEND: sends one mail over SMTP. What a repetition, a refusal and a doubt mean is told in docs/mail.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

import jobledger
from adapters.smtp.compose import Mail, compose
from adapters.smtp.config import MailConfig, mail_config
from adapters.smtp.conversation import MailInDoubt, MailRefused
from adapters.smtp.mailbox import InvalidMail, Mailbox, parse_mailbox
from adapters.smtp.sender import MailSender


class Email(Struct, frozen=True, rename="camel"):
    """The payload. An address is `ann@example.com` or `Ann <ann@example.com>`."""

    to: str | list[str]
    subject: str
    body: str  # plain text
    cc: str | list[str] | None = None
    html: str | None = None  # the same for readers that show HTML
    reply_to: str | None = None


class Sent(Struct, frozen=True, rename="camel"):
    """The result. `response` is what the mail server answered; often it holds the server's own id of the mail."""

    message_id: str
    accepted: list[str]
    response: str


def job_type(settings: Mapping[str, Any]) -> jobledger.JobType:
    """The entry point: EMAIL_SEND as `settings` (MAIL_HOST, …) say. Raises InvalidMail if MAIL_FROM is no address."""
    return email_send(mail_config(settings))


def email_send(config: MailConfig) -> jobledger.JobType:
    """EMAIL_SEND through the server that `config` names."""
    sender = MailSender(config)

    @jobledger.job_type("EMAIL_SEND", payload=Email)
    async def run(payload: Email, context: jobledger.Context) -> Sent:
        try:
            mail = _compose(payload, config=config, context=context)
            response = await sender.send(mail)
        except (InvalidMail, MailRefused) as exc:
            raise jobledger.PermanentError(str(exc)) from exc
        except MailInDoubt as exc:
            context.log.warning("mail in doubt")
            if not config.resend_in_doubt:
                raise jobledger.PermanentError(str(exc)) from exc
            # The next attempt sends the same bytes under the same Message-ID.
            if context.should_stop:
                raise jobledger.RetryLater(str(exc)) from exc  # not merely released: the log must hold the doubt
            raise
        return Sent(message_id=mail.message_id, accepted=list(mail.recipients), response=response)

    return run


def _compose(payload: Email, *, config: MailConfig, context: jobledger.Context) -> Mail:
    return compose(
        job_id=context.job_id,
        created_at=context.created_at,
        sender=config.sender,
        to=_mailboxes(payload.to, field="to"),
        cc=_mailboxes(payload.cc or [], field="cc"),
        reply_to=parse_mailbox(payload.reply_to, field="replyTo") if payload.reply_to else None,
        subject=payload.subject,
        body=payload.body,
        html=payload.html,
    )


def _mailboxes(given: str | list[str], *, field: str) -> list[Mailbox]:
    return [parse_mailbox(text, field=field) for text in ([given] if isinstance(given, str) else given)]
