"""Finds the job types that are installed: the entry points of the group `jobledger.job_types`, ours like anybody's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from adapters.job_types.code import UnusableJobType, prepare
from adapters.job_types.error_text import error_text
from domain.errors import UnknownJobType
from domain.job_type import JobType

GROUP = "jobledger.job_types"

# A name stands in log lines, in URLs and in names of Redis streams.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def load_job_types(settings: Mapping[str, Any]) -> dict[str, JobType]:
    """Import every installed job type, by name.

    `settings` (NAME in capitals to value, as plain texts, numbers and booleans) is given to entry points that are functions
    `(settings) -> JobType`. Raises UnusableJobType, naming distribution and entry point, for whatever cannot be used: a
    worker that silently lacks a type would leave its jobs waiting for ever, so one broken package stops the start.
    """
    return {name: _load(entry, settings) for name, entry in _installed().items()}


def load_job_type(name: str, settings: Mapping[str, Any]) -> JobType:
    """Import that job type alone. Raises UnknownJobType, UnusableJobType."""
    installed = _installed()
    if name not in installed:
        raise UnknownJobType(name, sorted(installed))
    return _load(installed[name], settings)


def _installed() -> dict[str, EntryPoint]:
    installed: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = installed.setdefault(entry.name, entry)
        if other is not entry:
            raise UnusableJobType(
                f"job type {entry.name} is there twice: {other.value} of {_distribution(other)}"
                f" and {entry.value} of {_distribution(entry)}; uninstall one, or give it another name"
            )
    return installed


def _load(entry: EntryPoint, settings: Mapping[str, Any]) -> JobType:
    where = f"the entry point {entry.name} = {entry.value} of {_distribution(entry)}"
    try:
        found = entry.load()
        if callable(found):
            found = found(settings)
    except BaseException as exc:
        if isinstance(exc, KeyboardInterrupt):
            raise
        raise UnusableJobType(f"{where} cannot be loaded: {error_text(exc).decode()}") from exc
    if not isinstance(found, JobType):
        if inspect.iscoroutine(found):
            found.close()
        raise UnusableJobType(
            f"{where} gives a {type(found).__name__}, not a JobType: decorate the function with @jobledger.job_type"
        )
    if found.name != entry.name:
        raise UnusableJobType(f"{where} gives a job type with another name, {found.name!r}: both must agree")
    if not _NAME.fullmatch(found.name):
        raise UnusableJobType(f"{where}: a name has 1 to 64 letters, digits, '_', '-' or '.'")
    try:
        prepare(found)
    except UnusableJobType as exc:
        raise UnusableJobType(f"{where} cannot be used: {exc}") from exc
    return found


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
