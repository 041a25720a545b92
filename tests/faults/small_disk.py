"""A place on a disk that a test can fill up, and give room again.

Where the machine lets the tests mount one, it is a small tmpfs, which is then really full, or read-only. Elsewhere the processes
that write there get a limit for the size of their files (RLIMIT_FSIZE), and the place becomes one in which nobody makes files:
the error has another number then, and comes from the same calls.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

_BLOCK = bytes(1 << 16)
_TAKES_NO_FILES = Path("/sys")  # whoever asks


class SmallDisk(Protocol):
    """The disk that a directory lies on."""

    def fill(self) -> None:
        """Leave no room on it."""

    def forbid(self) -> None:
        """Make it read-only."""

    def heal(self) -> None:
        """Let it be written to again."""


@contextmanager
def small_disk(place: Path, *, megabytes: int, writers: Callable[[], Iterable[int]], limit: int) -> Iterator[SmallDisk]:
    """Put one at the directory `place`, which must be empty.

    Without the right to mount: `limit` is the size in bytes beyond which no file of the processes `writers` (and their children)
    grows while it is "full".
    """
    options = f"size={megabytes}m,mode={place.stat().st_mode & 0o777:o}"
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
    if mount.returncode != 0:
        yield _Limit(place, writers, limit)
        return
    try:
        yield _Mounted(place)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


class _Mounted:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._filler = place / ".filler"

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(_BLOCK)

    def forbid(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self._place], check=True)

    def heal(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self._place], check=True)
        self._filler.unlink(missing_ok=True)


class _Limit:
    def __init__(self, place: Path, writers: Callable[[], Iterable[int]], limit: int) -> None:
        self._place = place
        self._aside = place.with_name(f"{place.name}.aside")
        self._writers = writers
        self._limit = limit

    def fill(self) -> None:
        self._limit_to(str(self._limit))

    def forbid(self) -> None:
        self._place.rename(self._aside)
        self._place.symlink_to(_TAKES_NO_FILES)

    def heal(self) -> None:
        if self._aside.exists():
            self._place.unlink()
            self._aside.rename(self._place)
        self._limit_to("unlimited")

    def _limit_to(self, size: str) -> None:
        for pid in self._writers():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                for one in (process, *process.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        _limit_files(one, size)


def _limit_files(process: psutil.Process, size: str) -> None:
    # By the user whose process it is: not every root may do it to others'.
    command = ["prlimit", f"--pid={process.pid}", f"--fsize={size}:"]
    is_root = os.geteuid() == 0
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        user=process.uids().real if is_root else None,
        group=process.gids().real if is_root else None,
        extra_groups=[] if is_root else None,
    )
    assert done.returncode == 0 or not process.is_running(), done.stderr
