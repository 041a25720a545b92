"""The files that jobs have made, in the output directory: opened by name, never by path, and never through a link."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path, PurePosixPath

from commands.results import is_name_of

# NONBLOCK: to open a pipe would wait for who writes into it.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OpenFile:
    """Implements commands.results.ResultFile."""

    def __init__(self, descriptor: int, found: os.stat_result) -> None:
        self._descriptor = descriptor
        self._found = found

    @property
    def size(self) -> int:
        """See ResultFile.size."""
        return self._found.st_size

    @property
    def modified_ns(self) -> int:
        """See ResultFile.modified_ns."""
        return self._found.st_mtime_ns

    async def read(self, begin: int, count: int) -> bytes:
        """See ResultFile.read."""
        # A disk may be slow, and the event loop must not be.
        return await asyncio.to_thread(os.pread, self._descriptor, count, begin)

    def close(self) -> None:
        """See ResultFile.close."""
        os.close(self._descriptor)


class OutputFiles:
    """Implements commands.results.ResultFiles over a directory, whose owner may put it where he likes, links included."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def open(self, job_id: str, path: str) -> OpenFile | None:
        """See ResultFiles.open."""
        name = PurePosixPath(path).name
        return await asyncio.to_thread(self._open, name) if is_name_of(job_id, name) else None

    def _open(self, name: str) -> OpenFile | None:
        try:
            descriptor = os.open(self._directory / name, _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if (self._directory / name).is_symlink():  # refused, by another error on each system
                return None
            raise
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            return None
        return OpenFile(descriptor, found)
