"""What schemathesis does not know of this API. Read by it, as test_fuzzed_api.py tells it, not by the tests."""

from __future__ import annotations

import itertools
import json
from typing import Any

import schemathesis

_KEY = "Idempotency-Key"
_NDJSON = "application/x-ndjson"

_example = ""
_numbers = itertools.count(1)


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Let a body of a job a line be made of jobs, as the array is, which its own schema (a string) cannot say."""
    global _example  # noqa: PLW0603  # hooks share nothing else
    content = raw_schema["paths"]["/jobs/batch"]["post"]["requestBody"]["content"]
    items = content["application/json"]["schema"]["items"]
    content[_NDJSON] = {"schema": {"type": "array", "items": items, "minItems": 1}}
    parameters = raw_schema["paths"]["/jobs"]["post"]["parameters"]
    _example = next(parameter["example"] for parameter in parameters if parameter["name"] == _KEY)


@schemathesis.serializer(_NDJSON)
def lines(context: Any, value: Any) -> bytes:
    """Each of them on a line; what is no array is one line."""
    items = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Send the documented key but once: with another body it is a 422, and no other body would ever make a job."""
    if case.headers and case.headers.get(_KEY) == _example:
        case.headers[_KEY] = f'"{next(_numbers)}"'
