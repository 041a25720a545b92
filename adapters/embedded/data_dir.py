"""The directory that the embedded servers keep their data in: made, and held by one supervisor at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from adapters.embedded.program import CannotStart

_LOCK = "lock"


@contextlib.contextmanager
def held_data_dir(data_dir: Path) -> Iterator[Path]:
    """Make the directory if need be and hold it while inside; gives its absolute path. Raises CannotStart.

    The lock is the kernel's (flock(2)): it ends with this process however that ends.
    """
    data_dir = data_dir.absolute()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise CannotStart(f"DATA_DIR {data_dir} cannot be used: {exc.strerror} ({exc.filename})") from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.read(lock, 20).decode(errors="replace").strip()
            raise CannotStart(
                f"another `jobledger up` (process {holder or 'unknown'}) uses {data_dir}:"
                " stop that one first, or choose another DATA_DIR"
            ) from exc
        except OSError as exc:
            raise CannotStart(f"DATA_DIR {data_dir} cannot be locked: {exc.strerror}") from exc
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield data_dir
    finally:
        os.close(lock)
