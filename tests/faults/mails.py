"""E2: one mail for each completed mail job. More come only where the log says that one may have been sent; all are equal."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tests.faults.client_log import Asked
from tests.faults.effects import Effects
from tests.faults.mail_server import MailTaken
from tests.faults.stories import Story
from tests.faults.verdict import Figures, Findings


class _Sent(Struct, frozen=True, rename="camel"):
    message_id: str
    accepted: list[str]


class MailsJudge:
    """Takes each story once, then says what belongs to none."""

    def __init__(self, effects: Effects, *, figures: Figures, findings: Findings) -> None:
        self._figures = figures
        self._findings = findings
        self._mails: dict[str, list[MailTaken]] = {}
        for mail in effects.mails:
            self._mails.setdefault(mail.message_id.strip("<>").partition("@")[0], []).append(mail)

    def judge(self, story: Story, asked: Asked | None) -> None:
        """One job, and what was asked for, if that is known."""
        mails = self._mails.pop(story.job_id, [])
        if story.type != "EMAIL_SEND":
            if mails:
                self._find(story, "sent a mail, but is no mail job")
            return
        self._figures.duplicate_effects += max(0, len(mails) - 1)
        allowed = sum(1 for attempt in story.attempts if attempt.may_have_left_effects) + story.is_completed
        if len(mails) > allowed:
            self._find(story, f"{len(mails)} mails came; by the log there may be {allowed}")
        elif story.is_completed and not mails:
            self._find(story, "is completed, but no mail came")
        if not mails:
            return
        first, *further = mails
        if any(
            (mail.message_id, mail.content, mail.to) != (first.message_id, first.content, first.to) for mail in further
        ):
            self._find(story, "its mails are not all the same")
        elif (
            asked is not None
            and asked.mail is not None
            and (first.to, first.digest) != (asked.mail.to, asked.mail.digest)
        ):
            self._find(story, "its mail is not what was asked for")
        elif story.is_completed:
            sent = msgspec.json.decode(story.result or "null", type=_Sent | None)
            if sent is None or (sent.message_id, sent.accepted) != (first.message_id, first.to):
                self._find(
                    story, f"its Completed records another mail than {first.message_id} to {', '.join(first.to)}"
                )

    def finish(self) -> None:
        """What belongs to no job."""
        for mails in self._mails.values():
            for mail in mails:
                self._findings.add("E2", mail.message_id, "this mail belongs to no job")

    def _find(self, story: Story, sentence: str) -> None:
        self._findings.add("E2", story.job_id, sentence)
