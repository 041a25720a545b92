"""What clients asked for, and what they were answered: one JSON line a fact, written by load.py, judged by judge.py.

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
    """One POST /jobs for what was asked under `key`. `job`: the id in a 2xx answer. `error`: why there was no answer."""

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


class Got(Struct, frozen=True, gc=False, tag_field="what", tag="got", omit_defaults=True):
    """One GET /jobs/{id}; `version` and `state` (the job's status) are those of a 200."""

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


Line = LoadBegan | Asked | Posted | Got

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
