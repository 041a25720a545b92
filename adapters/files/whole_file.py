"""A file that under its final name is always whole: written beside it, fsynced, renamed, the directory fsynced.

Knows nothing of what is written. The name and the lock of the temporary file are what `leftovers` goes by.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

TEMPORARY_PREFIX = ".jobledger-"  # hidden, and nobody else's: the sweeper looks at no other name
TEMPORARY_SUFFIX = ".tmp"


class FileBeingWritten:
    """What has been written so far: `bytes` and the `sha256` over them (as hex)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        """Append all of `block`. Raises OSError, such as for a full disk."""
        rest = memoryview(block)
        while rest:  # write(2) may take a part only, such as the last that fits on the disk
            rest = rest[os.write(self._descriptor, rest) :]
        self._digest.update(block)
        self.bytes += len(block)


@contextmanager
def whole_file(target: Path, *, owner: str) -> Iterator[FileBeingWritten]:
    """Write `target` in the body; it appears, whole and on the disk, when the body ends, replacing what was there.

    If the body or the disk raises, `target` is as it was and nothing of this is left. `owner` is who writes (job and attempt),
    as part of the temporary name. While it is written the temporary file is locked (flock), and the lock ends with the
    process. The target's directory is made if it is missing. Raises OSError, with the target's name.
    """
    directory = target.parent
    temporary = directory / f"{TEMPORARY_PREFIX}{owner}-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            # A file system without locks keeps its leftovers: the sweeper removes nothing that it cannot lock.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield FileBeingWritten(descriptor)
            os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        _sync_directory(directory)
    except OSError as exc:
        if exc.errno is not None and exc.filename in (None, str(temporary)):
            raise type(exc)(exc.errno, exc.strerror, str(target)) from exc
        raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
