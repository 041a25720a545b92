"""The caught mails: one file each in one directory, and the files are all there is.

A file is the message as it came, below one line of our own that holds the envelope; any mail program opens it. It appears
by a rename, so it is whole. It survives this process, but is not fsynced: a power cut may cost the newest. A file put
there by others is shown as well (`*.eml`), and a torn or foreign one never stops the rest from being read.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from uuid_utils import uuid7

_SUFFIX = ".eml"
_MARK = b"X-Mail-Catcher: "  # and JSON: the first line of a file that was caught
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")  # no separator, no leading dot: an id is never a path


class Envelope(Struct, frozen=True, rename="camel"):
    """What SMTP said beside the message. `created` is when it was caught."""

    sender: str = ""
    recipients: tuple[str, ...] = ()
    helo: str = ""
    created: datetime = datetime.fromtimestamp(0, UTC)


class CaughtMail(Struct, frozen=True):
    """One mail. `content` is the message byte for byte, without dot-stuffing, or its beginning; `size` is of all of it."""

    id: str
    envelope: Envelope
    content: bytes
    size: int


class MailStore:
    """The mails in `directory`. Every method does I/O that blocks: call it in a thread. Safe to use from several."""

    def __init__(self, directory: Path) -> None:
        """Make `directory` if need be and remove what earlier writes left half done. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        for leftover in directory.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def add(self, envelope: Envelope, content: bytes) -> str:
        """Keep a mail and give its id; ids rise with time. Raises OSError, and then nothing is kept."""
        mail_id = str(uuid7())
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".", suffix=".tmp")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(_MARK + msgspec.json.encode(envelope) + b"\r\n" + content)
            Path(temporary).rename(self._path(mail_id))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return mail_id

    def ids(self) -> list[str]:
        """The ids of all mails, newest first: by time of the file, then by id."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                mail_id = entry.name.removesuffix(_SUFFIX)
                if mail_id == entry.name or not _ID.fullmatch(mail_id):
                    continue
                with suppress(OSError):  # deleted meanwhile
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.stat(follow_symlinks=False).st_mtime, mail_id))
        return [mail_id for _, mail_id in sorted(found, reverse=True)]

    def read(self, mail_id: str, *, at_most: int = -1) -> CaughtMail | None:
        """The mail, or None if there is none (any more). `at_most`: bytes of the file to read; -1: all.

        An unreadable envelope is an empty one.
        """
        if not _ID.fullmatch(mail_id):
            return None
        try:
            with self._path(mail_id).open("rb") as file:
                content = file.read(at_most)
                status = os.fstat(file.fileno())
        except OSError:
            return None
        touched = datetime.fromtimestamp(status.st_mtime, UTC)
        foreign = CaughtMail(id=mail_id, envelope=Envelope(created=touched), content=content, size=status.st_size)
        if not content.startswith(_MARK):
            return foreign
        line, _, message = content.partition(b"\n")
        try:
            envelope = msgspec.json.decode(line.removeprefix(_MARK), type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return foreign
        size = status.st_size - (len(content) - len(message))
        return CaughtMail(id=mail_id, envelope=envelope, content=message, size=size)

    def delete(self, mail_id: str) -> bool:
        """Remove one mail; whether it was there."""
        if not _ID.fullmatch(mail_id):
            return False
        try:
            self._path(mail_id).unlink()
        except OSError:
            return False
        return True

    def delete_all(self) -> None:
        """Remove every mail that is there now."""
        for mail_id in self.ids():
            self.delete(mail_id)

    def _path(self, mail_id: str) -> Path:
        return self._directory / f"{mail_id}{_SUFFIX}"
