"""Takes the body of POST /jobs/batch apart into its jobs, byte for byte: a JSON array, or one job a line."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from entrypoints.api.problems import INVALID_BATCH, MALFORMED_JSON, NOT_JSON, TOO_MANY_JOBS, Problem
from entrypoints.api.request_body import require_json

MAX_JOBS = 10_000  # in one append, for whose time the whole log is held

Format = Literal["array", "lines"]

_LINES = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines"})
_decode = Decoder(list[Raw]).decode
_SPACE = b" \t\r"


def batch_format(headers: dict[bytes, bytes]) -> Format:
    """How the body is written, by its content type. Raises Problem 415."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type not in _LINES:
        try:
            require_json(headers)
        except Problem as exc:
            detail = exc.detail.replace("application/json", "application/json or application/x-ndjson")
            raise Problem(NOT_JSON, detail, headers=exc.headers) from exc
        return "array"
    require_json({name: value for name, value in headers.items() if name != b"content-type"} | _AS_JSON)
    return "lines"


_AS_JSON = {b"content-type": b"application/json"}


def split_batch(body: bytes, form: Format) -> list[bytes]:
    """The jobs' texts, each of which may still be anything. Blank lines count as nothing. Raises Problem 400, 413."""
    if form == "lines":
        items = [line for line in (line.strip(_SPACE) for line in body.split(b"\n")) if line]
    else:
        try:
            items = [bytes(raw) for raw in _decode(body)]
        except msgspec.ValidationError as exc:
            raise Problem(INVALID_BATCH, "the body must be an array of jobs") from exc
        except RecursionError as exc:
            raise Problem(INVALID_BATCH, "the body is nested too deep") from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Problem(MALFORMED_JSON, f"the body is not JSON: {exc}") from exc
    if not items:
        raise Problem(INVALID_BATCH, "there is no job in the body")
    if len(items) > MAX_JOBS:
        raise Problem(TOO_MANY_JOBS, f"a batch may hold at most {MAX_JOBS} jobs, but this one has {len(items)}")
    return items
