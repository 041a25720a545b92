"""Become another program that ends when the parent does: run as a script, with the standard library alone.

    python -I -S launch.py SIGNAL PARENT USER CAPABILITY program [argument …]

SIGNAL is what the kernel sends when the process PARENT dies (Linux, prctl(2) PR_SET_PDEATHSIG). USER is "uid:gid", or "-" to
stay who one is. CAPABILITY is the number of the one capability that is kept in spite of the change of user, or "-".

A program of its own and not a `preexec_fn`: that would run Python between fork and exec of a process that may have threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2  # linux/securebits.h
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h


def main(argv: list[str]) -> None:
    """Do what the module's docstring says; returns only by an OSError."""
    orphaned, parent, user, capability, *command = argv
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background jobs ignore some of them
        signal.signal(number, signal.SIG_DFL)
    if user != "-":
        uid, gid = (int(number) for number in user.split(":"))
        _become(uid, gid, None if capability == "-" else int(capability))
    if sys.platform == "linux":
        # After the change of user, which clears it.
        _check(_libc().prctl(_PR_SET_PDEATHSIG, int(orphaned), 0, 0, 0))
        if os.getppid() != int(parent):  # it died before the kernel knew that we care
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _become(uid: int, gid: int, capability: int | None) -> None:
    if capability is not None:
        # Not PR_SET_KEEPCAPS: without this bit access(2) answers as if there were no capability, and PostgreSQL asks it.
        _check(_libc().prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is not None:
        # This one and no other. Ambient, so that it survives exec; for that it must be permitted and inheritable
        # (capabilities(7)).
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        _check(_libc().capset(header, data))
        _check(_libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
