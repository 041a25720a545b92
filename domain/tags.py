"""A job's tags: a few short strings to find it by. They are no secret: they stand among the facts of the log, for ever."""

from __future__ import annotations

import re
from collections.abc import Sequence

from domain.errors import JobledgerError

MAX_TAGS = 10  # each stands in the read table's index
MAX_TAG_LENGTH = 64  # characters

# Control characters, of which the log's facts cannot hold NUL, and no reader wants the others; lone surrogates are no text.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
ALLOWED = f"at most {MAX_TAGS} tags of 1 to {MAX_TAG_LENGTH} characters each, none a control character, are allowed"


class InvalidTags(JobledgerError):
    """A new job was to have tags that cannot be kept."""

    code = "invalid_tags"

    def __init__(self, problem: str) -> None:
        super().__init__(f"tags: {problem}; {ALLOWED}")
        self.problem = problem


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags as an event keeps them: in their order, each once. Raises InvalidTags."""
    if len(tags) > MAX_TAGS:
        raise InvalidTags(f"{len(tags)} are given")
    for tag in tags:
        if not 1 <= len(tag) <= MAX_TAG_LENGTH:
            raise InvalidTags(f"one has {len(tag)} characters")
        if _UNWANTED.search(tag):
            raise InvalidTags(f"{tag!a} has a control character")
    return tuple(dict.fromkeys(tags))
