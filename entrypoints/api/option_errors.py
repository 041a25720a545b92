"""What is wrong with an option of a new job, in the words of the API: read one by one, or said by the domain."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.json import Decoder

from domain.limits import MOST_ATTEMPTS, InvalidLimit
from domain.tags import MAX_TAG_LENGTH, MAX_TAGS, InvalidTags
from domain.waiting import InvalidWait
from entrypoints.api.job_options import (
    MOST_DELAY_SECONDS,
    MOST_TIMEOUT_SECONDS,
    DelaySeconds,
    IdempotencyKey,
    MaxAttempts,
    RunAt,
    Tags,
    TimeoutSeconds,
)
from entrypoints.api.models import FieldError

# By the names that fields have in a body: how each is read on its own, and what it must be.
_READERS: dict[str, tuple[Decoder[Any], str]] = {
    "runAt": (Decoder(RunAt), "must be a time with its offset (RFC 3339), such as 2026-01-27T10:30:00Z"),
    "delaySeconds": (Decoder(DelaySeconds), f"must be a number from 0 to {MOST_DELAY_SECONDS:.0f} (ten years)"),
    "maxAttempts": (Decoder(MaxAttempts), f"must be a whole number from 1 to {MOST_ATTEMPTS}"),
    "timeoutSeconds": (
        Decoder(TimeoutSeconds),
        f"must be a number from 0.001 to {MOST_TIMEOUT_SECONDS:.0f} (seven days)",
    ),
    "idempotencyKey": (Decoder(IdempotencyKey), "must be a text of 1 to 255 visible ASCII characters or blanks"),
    "tags": (
        Decoder(Tags),
        f"must be a list of at most {MAX_TAGS} texts of 1 to {MAX_TAG_LENGTH} characters each",
    ),
}
OPTIONS = tuple(_READERS)
_NAMES = {"delay": "delaySeconds", "run_at": "runAt", "max_attempts": "maxAttempts", "timeout": "timeoutSeconds"}


def read_option(name: str, json: str, errors: list[FieldError]) -> Any:
    """The value of the option of that name, None for null; what is wrong with it goes to `errors`."""
    decoder, wanted = _READERS[name]
    try:
        return decoder.decode(json)
    except msgspec.DecodeError:
        errors.append(FieldError(name, wanted, f"#/{name}"))
        return None


def field_error(exc: InvalidWait | InvalidLimit | InvalidTags) -> FieldError:
    """What the domain has against a field, by the name that the field has in a body."""
    if isinstance(exc, InvalidTags):
        return FieldError("tags", str(exc).removeprefix("tags: "), "#/tags")
    name = _NAMES[exc.field]
    return FieldError(name, f"is {exc.value}: {exc.allowed}", f"#/{name}")
