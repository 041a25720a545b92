"""Removes the temporary files that dead attempts left. Never one of a live attempt, on this host or another."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

from adapters.files.whole_file import TEMPORARY_PREFIX, TEMPORARY_SUFFIX

LEFTOVER_AGE = (
    15 * 60.0
)  # seconds; a live attempt writes many times a second, so this covers clocks and suspended machines


def sweep_leftovers(output_dir: Path, older_than: float = LEFTOVER_AGE) -> list[Path]:
    """Remove temporary files that were last written more than `older_than` seconds ago and are locked by nobody.

    Both must hold: the lock (flock) ends with the process that wrote, and the age, reckoned by the clock of the file system
    itself, covers the moment before the lock and file systems that show no locks of other hosts. May run in any number of
    workers at once. Gives what was removed; a missing directory, or one that is not ours to write in, has none.
    """
    if not output_dir.is_dir():
        return []
    names = [
        entry.name
        for entry in os.scandir(output_dir)
        if entry.name.startswith(TEMPORARY_PREFIX) and entry.name.endswith(TEMPORARY_SUFFIX)
    ]
    if not names:
        return []
    try:
        now = _now_of_the_file_system(output_dir)
    except OSError:
        return []
    return [path for name in names if _removed(path := output_dir / name, written_before=now - older_than)]


def _now_of_the_file_system(directory: Path) -> float:
    # A shared directory has its server's clock, not this host's.
    probe = directory / f"{TEMPORARY_PREFIX}clock-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()


def _removed(path: Path, *, written_before: float) -> bool:
    try:
        # For writing: NFS gives an exclusive lock only then. Not following links: only a file of our own is meant.
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # another sweeper was first, or its writer renamed it
    try:
        if os.fstat(descriptor).st_mtime >= written_before:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
