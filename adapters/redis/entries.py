"""Entries as Redis holds them, read into QueueEntry. Anybody can write to a stream, so each part is judged."""

from __future__ import annotations

import re
from collections.abc import Sequence

from commands.ports import QueueEntry

# An entry as redis-py gives it: its id and field, value, field, value … (None: it was deleted while pending).
RawEntry = tuple[str, list[str] | None]

_FIELDS = ["job", "version", "type", "attempt"]  # in the order in which the relay writes them
_is_job_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_is_count = re.compile(r"[1-9][0-9]{0,8}").fullmatch  # fits an int4, as the log's columns do
_MAX_TYPE = 200  # characters


def read_entry(stream: str, raw: RawEntry) -> QueueEntry | None:
    """The entry, or None if the relay did not write it."""
    entry_id, fields = raw
    if fields is None or fields[::2] != _FIELDS:
        return None
    job_id, version, type_, attempt = fields[1::2]
    if not (_is_job_id(job_id) and _is_count(version) and _is_count(attempt) and 0 < len(type_) <= _MAX_TYPE):
        return None
    return QueueEntry(stream, entry_id, job_id, int(version), type_, int(attempt))


def pack_entries(entries: Sequence[QueueEntry]) -> list[tuple[str, str, str, int, str, int]]:
    """The entries as the scripts take them."""
    return [(e.stream, e.entry_id, e.job_id, e.version, e.type, e.attempt) for e in entries]
