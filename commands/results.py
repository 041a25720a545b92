"""Results that are files: who finds and reads them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class ResultFile(Protocol):
    """A file that is open. What it holds stays as it is while it is read: a new one of the same name is another file."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def modified_ns(self) -> int:
        """When it was last written, in nanoseconds since 1970."""

    def read(self, begin: int, count: int) -> Awaitable[bytes]:
        """At most `count` bytes from there on; none at its end, or where it has become shorter. Raises OSError."""

    def close(self) -> None:
        """Give it back; to be done once, by whoever got it."""


class ResultFiles(Protocol):
    """Where job types put the files that they make, each named after its job."""

    async def open(self, job_id: str, path: str) -> ResultFile | None:
        """The file that a job's result names, if its name is that job's and it is there: a file, not what leads to one.

        Only the last part of the path counts: the one who wrote it may have seen the directory elsewhere. Raises OSError.
        """


def is_name_of(job_id: str, name: str) -> bool:
    """Whether a file of that name can be that job's: its id, and a suffix of letters and digits."""
    suffix = name.removeprefix(f"{job_id}.")
    return suffix != name and suffix.isascii() and suffix.isalnum()
