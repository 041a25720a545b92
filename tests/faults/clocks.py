"""Wall clocks that a test sets, of single processes: by libfaketime, which stands between a program and what its machine says.

The monotonic clock is left alone, as a real machine leaves it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

_LIBRARY = Path("vendor", "libfaketime", "src", "libfaketime.so.1")  # in the package; for Linux on x86-64
_SHARED_MEMORY = Path("/dev/shm")


class Clock:
    """One that is right until `set` says otherwise. Every user must be able to read `home`; it may hold several."""

    def __init__(self, home: Path, name: str) -> None:
        self._file = home / f"{name} clock"
        self._library = home / _LIBRARY.name
        if not self._library.exists():
            shutil.copyfile(_package() / _LIBRARY, self._library)
            self._library.chmod(0o755)
        self.set(hours=0)

    @property
    def environ(self) -> Mapping[str, str]:
        """What a program that is to live by it is started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Else the processes of one server would see a jump one after another, for a second: a machine has one clock for all.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, *, hours: float) -> None:
        """Let it be wrong by so many hours from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours:+g}h\n")
        new.chmod(0o644)
        new.replace(self._file)


def clear_after(pid: int) -> None:
    """Remove what a process that was killed has left in shared memory of its clock."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (_SHARED_MEMORY / name).unlink(missing_ok=True)


def _package() -> Path:
    spec = find_spec("libfaketime")
    assert spec is not None, "libfaketime is not installed: it is one of the packages that the checks need"
    assert spec.origin is not None
    return Path(spec.origin).parent
