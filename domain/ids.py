"""Job ids: UUIDs in their canonical text form. Made elsewhere (version 7 needs a clock); here only judged."""

from __future__ import annotations

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
