"""Job ids: UUIDs in their canonical text form. Made elsewhere (version 7 needs a clock); here only judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.errors import InvalidJobId


def parse_job_id(text: str) -> str:
    """Give the canonical form (lower case, hyphens; RFC 9562) of a job id. Raises InvalidJobId for anything else."""
    if len(text) != 36:  # UUID() also takes braces, URNs and bare digits: one job, one spelling in URLs
        raise InvalidJobId(text)
    try:
        parsed = str(UUID(text))
    except ValueError as exc:
        raise InvalidJobId(text) from exc
    if parsed != text.lower():
        raise InvalidJobId(text)
    return parsed


def least_id_at(at: datetime) -> str:
    """What no id of version 7 that was made at that time or later is below; nor is any below the least of all times."""
    milliseconds = (at.astimezone(UTC) - _UNIX_EPOCH) // timedelta(milliseconds=1)
    return str(UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80))


_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
