"""Entries as Redis holds them, read into QueueEntry. Anybody can write to a stream, so each part is judged."""

from __future__ import annotations

import re
from collections.abc import Sequence

from commands.ports import QueueEntry

# An entry as redis-py gives it: its id and field, value, field, value … (None: it was deleted while pending).
RawEntry = Sequence[str | list[str] | None]

_FIELDS = ["job", "version", "type", "attempt"]  # in the order in which the relay writes them
_is_job_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_MAX_COUNT = 2**31 - 1  # versions and attempts are int4 in the log
_MAX_TYPE = 200  # characters


def is_sound(entry: QueueEntry) -> bool:
    """Whether the log could have made the entry, so that it can be asked for its job."""
    return bool(
        _is_job_id(entry.job_id)
        and 0 < entry.version <= _MAX_COUNT
        and 0 < entry.attempt <= _MAX_COUNT
        and 0 < len(entry.type) <= _MAX_TYPE
    )


def read_entry(stream: str, raw: RawEntry) -> QueueEntry | None:
    """The entry, or None if the relay did not write it."""
    entry_id, fields = raw
    if not isinstance(entry_id, str) or not isinstance(fields, list) or fields[::2] != _FIELDS:
        return None
    job_id, version, type_, attempt = fields[1::2]
    try:
        entry = QueueEntry(stream, entry_id, job_id, int(version), type_, int(attempt))
    except ValueError:
        return None
    return entry if is_sound(entry) else None
