"""What clients asked for, and what they were answered: one JSON line a fact, written by the load, judged by judge.py.

All moments are seconds of the monotonic clock, which all processes of a host share and which no fault here moves. A request
whose line is missing (its load was killed) counts as unknown, since the line of what was asked is written before the request.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec
from msgspec import Struct

# `ok`: 2xx. `refused`: 4xx. `unknown`: 5xx, no answer, a broken one, or one that came too late.
Answer = Literal["ok", "refused", "unknown"]


class LoadBegan(Struct, frozen=True, gc=False, tag_field="what", tag="began"):
    """The first line of a load. `wall` is the clock of the day at `monotonic`."""

    seed: int
    monotonic: float
    wall: float


class FileAsked(Struct, frozen=True, gc=False):
    """The file that a CSV_EXPORT must make."""

    sha256: str
    rows: int


class MailAsked(Struct, frozen=True, gc=False):
    """The mail that an EMAIL_SEND must send: to whom, and the digest that `mail_digest` (mail_server.py) makes of it."""

    to: list[str]
    digest: str


class Asked(Struct, frozen=True, gc=False, tag_field="what", tag="asked", omit_defaults=True):
    """A job that a client wants. Its key is its own, and is also in its payload, so that no two payloads are equal."""

    key: str
    client: int
    type: str
    priority: str
    payload: str  # SHA-256 of its bytes, in hex
    file: FileAsked | None = None
    mail: MailAsked | None = None


class Posted(Struct, frozen=True, gc=False, tag_field="what", tag="posted", omit_defaults=True):
    """One request for what was asked under `key`. `job`: the id in a 2xx answer. `error`: why there was no answer.

    `batch`: of how many jobs it asked at once; each has a line of its own, with the answer to it alone. 0: POST /jobs.
    """

    key: str
    client: int
    api: str
    began: float
    ended: float
    answer: Answer
    status: int = 0
    job: str = ""
    replayed: bool = False
    error: str = ""
    batch: int = 0


class Got(Struct, frozen=True, gc=False, tag_field="what", tag="got", omit_defaults=True):
    """What one request said of a job; `version` and `state` (the job's status) are those of a 2xx answer.

    `waited`: for so many seconds the answer was to wait for the job's end (`Prefer: wait`, also of the POST that made it).
    """

    job: str
    client: int
    api: str
    began: float
    ended: float
    answer: Answer
    status: int = 0
    version: int = 0
    state: str = ""
    error: str = ""
    waited: int = 0


class CommandAsked(Struct, frozen=True, gc=False, tag_field="what", tag="command"):
    """A cancel or retry that a client is about to ask for, once. Its reason is its own, and is in the event that comes of it."""

    reason: str
    command: Literal["cancel", "retry"]
    job: str
    client: int


class CommandAnswered(Struct, frozen=True, gc=False, tag_field="what", tag="commanded", omit_defaults=True):
    """How the request with that reason was answered; `version` and `state` are those of a 2xx answer."""

    reason: str
    job: str
    api: str
    began: float
    ended: float
    answer: Answer
    status: int = 0
    version: int = 0
    state: str = ""
    error: str = ""


class StreamOpened(Struct, frozen=True, gc=False, tag_field="what", tag="opened", omit_defaults=True):
    """An answer to a GET /events that follows the log behind `after`: 200, or what refused it.

    `types`: the event types that are wanted, separated by commas; empty: all.
    """

    follower: str
    api: str
    status: int
    after: int
    types: str = ""


class Seen(Struct, frozen=True, gc=False, array_like=True):
    """An event as a follower was shown it."""

    position: int
    job: str
    version: int
    type: str


class Followed(Struct, frozen=True, gc=False, tag_field="what", tag="followed"):
    """What a follower was shown next, on whichever stream."""

    follower: str
    events: list[Seen]


class FollowedUp(Struct, frozen=True, gc=False, tag_field="what", tag="followed up"):
    """A follower was told that there is nothing more for it up to `head`, and ended there."""

    follower: str
    head: int


Line = LoadBegan | Asked | Posted | Got | CommandAsked | CommandAnswered | StreamOpened | Followed | FollowedUp

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class ClientLog:
    """Writes lines, each in one piece and at once: what is written survives the end of the process. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Self:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, line: Line) -> None:
        os.write(self._file, _encode(line) + b"\n")


def read_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """The lines of these logs. A last line that is torn (its writer was killed) is left out."""
    for path in paths:
        with path.open("rb") as file:
            for raw in file:
                if raw.endswith(b"\n"):
                    yield _decode(raw)
