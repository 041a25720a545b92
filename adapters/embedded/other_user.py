"""As whom PostgreSQL runs when we are root: it refuses root itself. Nothing here changes permissions of what is not ours."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from adapters.embedded.program import CannotStart, RunAs

# Each alone lets a process through directories that are closed to it (capabilities(7)); the first gives less away, the second
# is what containers usually have. Linux.
_READ_SEARCH = 2  # CAP_DAC_READ_SEARCH
_OVERRIDE = 1  # CAP_DAC_OVERRIDE
_SET_CAPABILITIES = 8  # CAP_SETPCAP: it takes that to keep one


def run_as_for(reads: Iterable[Path], *, owned: Path) -> RunAs | None:
    """Whom to become to read all of `reads` and to own the directory `owned`: None when we are not root.

    The owner of `owned` where it exists, else `nobody`. Where that user cannot reach a path (a checkout below /root), one
    capability to read and search anywhere is kept. Raises CannotStart if neither user nor capability can be had.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _owner(owned)
    if all(_may_read(path, uid, gid) for path in reads):
        return RunAs(uid, gid)
    permitted = _permitted_capabilities()
    for capability in (_READ_SEARCH, _OVERRIDE):
        if permitted >> capability & 1 and permitted >> _SET_CAPABILITIES & 1:
            return RunAs(uid, gid, capability)
    raise CannotStart(
        f"PostgreSQL does not run as root, and user id {uid} cannot reach {owned}: start as an ordinary user,"
        " choose a DATA_DIR that everybody can reach, or set DATABASE_URL"
    )


def _owner(owned: Path) -> tuple[int, int]:
    if owned.exists():
        status = owned.stat()
        if status.st_uid != 0:
            return status.st_uid, status.st_gid
        raise CannotStart(
            f"{owned} belongs to root, but PostgreSQL does not run as root: give it to its user with chown"
        )
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as exc:
        raise CannotStart(
            "PostgreSQL does not run as root, and there is no user `nobody`: start as another user"
        ) from exc
    return nobody.pw_uid, nobody.pw_gid


def _may_read(path: Path, uid: int, gid: int) -> bool:
    path = path.resolve()
    return _allows(path, uid, gid, wanted=stat.S_IROTH) and all(
        _allows(parent, uid, gid, wanted=stat.S_IXOTH) for parent in path.parents
    )


def _allows(path: Path, uid: int, gid: int, *, wanted: int) -> bool:
    status = path.stat()
    if status.st_uid == uid:
        wanted <<= 6
    elif status.st_gid == gid:
        wanted <<= 3
    return bool(status.st_mode & wanted)


def _permitted_capabilities() -> int:
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0
