"""Why somebody cancelled or retried a job: a short text that stands among the facts of the log, for ever."""

from __future__ import annotations

import re

from domain.errors import JobledgerError

MAX_REASON_LENGTH = 1_000  # characters
ALLOWED = f"a text of at most {MAX_REASON_LENGTH} characters, none of them NUL or half a surrogate pair"

_UNWANTED = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL cannot look into


class InvalidReason(JobledgerError):
    """A reason that cannot be kept."""

    code = "invalid_reason"

    def __init__(self, problem: str) -> None:
        super().__init__(f"reason {problem}: it must be {ALLOWED}")
        self.problem = problem


def checked_reason(text: str | None) -> str | None:
    """The reason as an event keeps it; an empty one is none. Raises InvalidReason."""
    if not text:
        return None
    if len(text) > MAX_REASON_LENGTH:
        raise InvalidReason(f"has {len(text)} characters")
    if _UNWANTED.search(text):
        raise InvalidReason("holds such a character")
    return text
