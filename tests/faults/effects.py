"""E1 to E3: what the jobs did to the world, judged from the files, the mails and the tally against the stories of the log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from tests.faults.client_log import Asked
from tests.faults.mail_server import MailTaken
from tests.faults.stories import Attempt, Story
from tests.faults.verdict import Figures, Findings

_BLOCK = 1 << 20  # bytes
T = TypeVar("T")


class FileFound(Struct, frozen=True):
    """A file of OUTPUT_DIR."""

    bytes: int
    sha256: str


class Fact(Struct, frozen=True):
    """A line of the tally."""

    job: str
    attempt: int
    what: Literal["begin", "end", "error", "stopped"]
    pid: int
    at: float
    alone: bool = True


class Effects(Struct, frozen=True):
    """All that was found. `files` by name; `temporaries` are names of temporary files."""

    files: Mapping[str, FileFound]
    temporaries: list[str]
    mails: list[MailTaken]
    facts: list[Fact]


class _Exported(Struct, frozen=True, rename="camel"):
    file_path: str
    rows: int
    bytes: int
    sha256: str


class _Sent(Struct, frozen=True, rename="camel"):
    message_id: str
    accepted: list[str]


def read_effects(*, output: Path, mails: Path, tally: Path) -> Effects:
    """Read them all; what is not there is empty. A torn last line (its writer was killed) is left out."""
    names = sorted(entry.name for entry in output.iterdir()) if output.exists() else []
    temporary = [name for name in names if name.startswith(".")]
    return Effects(
        files={name: _found(output / name) for name in names if not name.startswith(".")},
        temporaries=temporary,
        mails=list(_lines(mails, MailTaken)),
        facts=list(_lines(tally, Fact)),
    )


class EffectsJudge:
    """Takes each story once, then says what belongs to none. Figures and findings are filled on the way."""

    def __init__(self, effects: Effects, *, figures: Figures, findings: Findings) -> None:
        self._figures = figures
        self._findings = findings
        self._files = dict(effects.files)
        self._temporaries: dict[str, list[str]] = {}
        for name in effects.temporaries:
            self._temporaries.setdefault(name.removeprefix(".jobledger-")[:36], []).append(name)
        self._mails: dict[str, list[MailTaken]] = {}
        for mail in effects.mails:
            self._mails.setdefault(mail.message_id.strip("<>").partition("@")[0], []).append(mail)
        self._facts: dict[str, list[Fact]] = {}
        for fact in effects.facts:
            self._facts.setdefault(fact.job, []).append(fact)
        self._given_up_at: dict[str, int] = {}  # worker to the position at which others began to close its attempts
        self._last_started: dict[str, tuple[int, str]] = {}  # worker to its last Started, and that one's job

    def judge(self, story: Story, asked: Asked | None) -> None:
        """One job of the log, and what was asked for, if that is known."""
        self._judge_file(story, asked)
        self._judge_mails(story, asked)
        self._judge_executions(story)
        for attempt in story.attempts:
            self._note_worker(story, attempt)

    def finish(self) -> None:
        """What belongs to no job, and workers that began something after they had been given up."""
        for name in self._files:
            self._findings.add("E1", name, "this file belongs to no job")
        for names in self._temporaries.values():
            for name in names:
                self._findings.add("E1", name, "this temporary file belongs to no job")
        for mails in self._mails.values():
            for mail in mails:
                self._findings.add("E2", mail.message_id, "this mail belongs to no job")
        for job_id, facts in self._facts.items():
            self._figures.executions += sum(1 for fact in facts if fact.what == "begin")
            self._findings.add("E3", job_id, "was executed, but is not in the log")
        for worker, at in self._given_up_at.items():
            position, job_id = self._last_started.get(worker, (0, ""))
            if position > at:
                self._findings.add(
                    "E3", job_id, f"was started at {position} by worker {worker}, which had been given up at {at}"
                )

    def _judge_file(self, story: Story, asked: Asked | None) -> None:
        file = self._files.pop(f"{story.job_id}.csv", None)
        for name in self._temporaries.pop(story.job_id, ()):
            if not any(
                f"{story.job_id}-{one.number}-" in name and not _says_how_it_ended(one) for one in story.attempts
            ):
                self._findings.add("E1", name, "this temporary file belongs to no attempt that was cut off")
        if story.type != "CSV_EXPORT":
            if file is not None:
                self._findings.add("E1", story.job_id, "left a file, but is no export")
            return
        wanted = None if asked is None else asked.file
        if story.is_completed:
            result = msgspec.json.decode(story.result or "null", type=_Exported | None)
            if file is None:
                self._findings.add("E1", story.job_id, "is completed, but its file is missing")
            elif result is not None and (result.bytes, result.sha256) != (file.bytes, file.sha256):
                self._findings.add(
                    "E1", story.job_id, f"its file has {file.bytes} bytes, and is not what Completed records"
                )
            elif wanted is not None and file.sha256 != wanted.sha256:
                self._findings.add("E1", story.job_id, "its file is not what was asked for")
            if result is not None and wanted is not None and result.rows != wanted.rows:
                self._findings.add("E1", story.job_id, f"records {result.rows} rows; asked for were {wanted.rows}")
        elif file is not None:
            if not any(attempt.may_have_left_effects for attempt in story.attempts):
                self._findings.add("E1", story.job_id, "left a file, but no attempt of it was completed or cut off")
            elif wanted is not None and file.sha256 != wanted.sha256:
                self._findings.add("E1", story.job_id, "its file is not whole")

    def _judge_mails(self, story: Story, asked: Asked | None) -> None:
        mails = self._mails.pop(story.job_id, [])
        if story.type != "EMAIL_SEND":
            if mails:
                self._findings.add("E2", story.job_id, "sent a mail, but is no mail job")
            return
        self._figures.duplicate_effects += max(0, len(mails) - 1)
        uncertain = sum(1 for attempt in story.attempts if attempt.may_have_left_effects)
        allowed = uncertain + (1 if story.is_completed else 0)
        if story.is_completed and not mails:
            self._findings.add("E2", story.job_id, "is completed, but no mail came")
        if len(mails) > allowed:
            self._findings.add("E2", story.job_id, f"{len(mails)} mails came; the log knows of {allowed} at the most")
        if len({mail.message_id for mail in mails}) > 1 or len({(mail.content, *mail.to) for mail in mails}) > 1:
            self._findings.add("E2", story.job_id, "its mails are not all the same")
        elif mails and story.is_completed and story.result is not None:
            sent = msgspec.json.decode(story.result, type=_Sent)
            if sent.message_id != mails[0].message_id:
                self._findings.add(
                    "E2", story.job_id, f"records the mail {sent.message_id}; {mails[0].message_id} came"
                )
        if mails and asked is not None and asked.mail is not None:
            wanted = asked.mail
            if (mails[0].to, mails[0].digest) != (wanted.to, wanted.digest):
                self._findings.add("E2", story.job_id, "its mail is not what was asked for")

    def _judge_executions(self, story: Story) -> None:
        facts = self._facts.pop(story.job_id, None)
        if facts is None:
            if story.is_completed and story.type.startswith("TALLIED"):
                self._findings.add("E3", story.job_id, "is completed, but was never executed")
            return
        attempts = {attempt.number: attempt for attempt in story.attempts}
        begun: dict[int, Fact] = {}
        ended: dict[int, Fact] = {}
        for fact in sorted(facts, key=lambda fact: fact.at):
            if fact.what != "begin":
                ended[fact.attempt] = fact
                continue
            if fact.attempt in begun:
                self._findings.add("E3", story.job_id, f"its attempt {fact.attempt} was executed twice")
            elif fact.attempt not in attempts:
                self._findings.add("E3", story.job_id, f"was executed as attempt {fact.attempt}, which never started")
            begun[fact.attempt] = fact
        self._figures.executions += len(begun)
        self._figures.duplicate_effects += max(0, sum(1 for fact in ended.values() if fact.what == "end") - 1)
        for number, fact in begun.items():
            others = [
                other
                for other, began in begun.items()
                if other != number and began.at <= fact.at and (other not in ended or ended[other].at > fact.at)
            ]
            # Of one that never said how it ended, the lock knows whether it still went on.
            going_on = [other for other in others if other in ended or not fact.alone]
            if not going_on and fact.alone:
                continue
            self._figures.overlapping += 1
            forgiven = [other for other in others if other in attempts and attempts[other].was_given_up]
            if not forgiven or any(other not in forgiven for other in going_on if other in ended):
                self._findings.add("E3", story.job_id, f"attempt {number} began while {going_on or 'another'} went on")
        if story.is_completed and attempts and (last := story.attempts[-1]).number not in begun:
            self._findings.add("E3", story.job_id, f"was completed by attempt {last.number}, which was not executed")

    def _note_worker(self, story: Story, attempt: Attempt) -> None:
        if attempt.was_given_up and attempt.actor != attempt.worker:
            at = self._given_up_at.get(attempt.worker, attempt.closed)
            self._given_up_at[attempt.worker] = min(at, attempt.closed)
        if attempt.started > self._last_started.get(attempt.worker, (0, ""))[0]:
            self._last_started[attempt.worker] = (attempt.started, story.job_id)


def _says_how_it_ended(attempt: Attempt) -> bool:
    """Its code came to an end by itself, and so has tidied up."""
    return attempt.closed_by == "Completed" or attempt.outcome == "released"


def _found(path: Path) -> FileFound:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return FileFound(size, digest.hexdigest())


def _lines(path: Path, kind: type[T]) -> Iterable[T]:
    if not path.exists():
        return
    decode = msgspec.json.Decoder(kind).decode
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                yield decode(raw)
