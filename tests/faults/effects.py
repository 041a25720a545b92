"""What the jobs did to the world: the files, the mails and the tally of executions, read from where they were left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from adapters.files.leftovers import sweep_leftovers
from tests.faults.mail_server import MailTaken

_BLOCK = 1 << 20  # bytes
T = TypeVar("T")


class FileFound(Struct, frozen=True, gc=False):
    """A file of OUTPUT_DIR."""

    bytes: int
    sha256: str


class Fact(Struct, frozen=True, gc=False):
    """A line of the tally: an execution began (`alone`: while no other one of its job went on), or how it ended."""

    job: str
    attempt: int
    what: Literal["begin", "end", "error", "stopped"]
    pid: int
    at: float  # monotonic
    alone: bool = True


class Effects(Struct, frozen=True):
    """All that was found. `files` by name; `temporaries` are names of temporary files, `unswept` those that a sweep left."""

    files: Mapping[str, FileFound] = {}
    temporaries: list[str] = []
    unswept: list[str] = []
    mails: list[MailTaken] = []
    facts: list[Fact] = []


def read_effects(*, output: Path, mails: Path, tally: Path) -> Effects:
    """Read them all; what is not there is empty. A torn last line (its writer was killed) is left out.

    Temporary files are swept, as the service would in its time: nobody may be writing any more.
    """
    names = _names(output)
    sweep_leftovers(output, older_than=0.0)
    return Effects(
        files={name: _found(output / name) for name in names if not name.startswith(".")},
        temporaries=[name for name in names if name.startswith(".")],
        unswept=[name for name in _names(output) if name.startswith(".")],
        mails=list(_lines(mails, MailTaken)),
        facts=list(_lines(tally, Fact)),
    )


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir()) if directory.exists() else []


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
