"""Reads the body of `POST /jobs`. The payload is found and checked to be JSON, but neither decoded nor changed.

Two ways that agree (a property test holds them together): msgspec, fast, for nearly all bodies; and the standard library's
parser, which finds every fault, and takes lone surrogate escapes, which are JSON but which msgspec refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec
from msgspec import Raw
from msgspec.json import Decoder
from msgspec.structs import fields

from domain.events import PRIORITIES
from entrypoints.api.json_members import Member, NotAnObject, json_members
from entrypoints.api.models import BatchJob, FieldError, NewJob
from entrypoints.api.option_errors import OPTIONS, read_option
from entrypoints.api.problems import INVALID_BODY, MALFORMED_JSON, Problem

MAX_NESTING = 64  # of the payload: what every reader of the log, in any language, can still follow

_Job = TypeVar("_Job", bound=NewJob)

_decode = Decoder(NewJob).decode
_decode_batch_job = Decoder(BatchJob).decode
# By the names in a body, those of the model's fields.
_OPTIONS = {
    model: [field.encode_name for field in fields(model) if field.encode_name in OPTIONS]
    for model in (NewJob, BatchJob)
}
_FIELDS = {field.encode_name: field.name for field in fields(BatchJob)}
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_NOT_MARKS = bytes(set(range(256)) - set(b'"[]{}'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")  # which kind of bracket it is, the parser looks at


def read_new_job(body: bytes, job_types: Collection[str]) -> NewJob:
    """The job that the body asks for. Raises Problem 400, which names each field that is wrong and what is allowed."""
    return _read(body, job_types, NewJob, _decode)


def read_batch_job(item: bytes, job_types: Collection[str]) -> BatchJob:
    """The same for one job of a batch."""
    return _read(item, job_types, BatchJob, _decode_batch_job)


def read_new_job_slowly(body: bytes, job_types: Collection[str]) -> NewJob:
    """The same for a body that is UTF-8 and not nested too deep; every field's fault is found."""
    return _slowly(body, job_types, NewJob)


def _read(body: bytes, job_types: Collection[str], model: type[_Job], decode: Callable[[bytes], _Job]) -> _Job:
    _require_shallow(body)
    if not body.isascii():
        _require_utf8(body)  # msgspec does not look into strings that it skips
    try:
        new_job = decode(body)
    except msgspec.DecodeError:
        return _slowly(body, job_types, model)
    return new_job if new_job.type in job_types else _slowly(body, job_types, model)


def _slowly(body: bytes, job_types: Collection[str], model: type[_Job]) -> _Job:
    try:
        members = json_members(body.decode("utf-8"))
    except NotAnObject as exc:
        raise Problem(INVALID_BODY, "the body must be an object with type, payload and, if wanted, priority") from exc
    except ValueError as exc:
        raise Problem(MALFORMED_JSON, f"the body is not JSON: {exc}") from exc
    errors: list[FieldError] = []
    type_ = _text_among(members, "type", sorted(job_types), errors)
    priority = _text_among(members, "priority", PRIORITIES, errors) if "priority" in members else "default"
    if "payload" not in members:
        errors.append(FieldError("payload", "is missing: send null if the job type needs none", "#/payload"))
    options = {name: read_option(name, members[name].json, errors) for name in _OPTIONS[model] if name in members}
    if errors:
        raise Problem(INVALID_BODY, "; ".join(f"{error.field} {error.detail}" for error in errors), errors=errors)
    payload = Raw(members["payload"].json.encode("utf-8"))
    return model(
        type=type_,
        payload=payload,
        priority="high" if priority == "high" else "default",
        **{_FIELDS[name]: value for name, value in options.items()},
    )


def is_nested_deeper(text: bytes, depth: int) -> bool:
    """Whether arrays and objects of a JSON text stand deeper in each other than that; for what is no JSON, either.

    No recursion, and linear in the text's length. What it lets pass, a recursive parser can follow.
    """
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    if b"\\" in text:
        text = _ESCAPED.sub(b"", text)
    # Of a string without brackets two quotation marks are left. Two that stand side by side may go, whatever they are: if they
    # end one string and begin the next, nothing of interest lies between, and those two become one.
    marks = text.translate(_ONE_KIND, _NOT_MARKS).replace(b'""', b"")
    brackets = (
        b"".join(marks.split(b'"')[::2]) if b'"' in marks else marks
    )  # every second piece lies outside of strings
    for _ in range(depth):  # each round takes away the innermost level
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"")
        if len(brackets) == before:
            # All is gone; or what is left does not belong together, is no JSON, and the parser says so if it dares to.
            return brackets.count(b"[") > depth
    return len(brackets) > 0


def _require_shallow(body: bytes) -> None:
    if is_nested_deeper(body, MAX_NESTING + 1):  # the body's own braces are one level around the payload
        field = FieldError("payload", f"is nested deeper than {MAX_NESTING}", "#/payload")
        raise Problem(INVALID_BODY, f"payload {field.detail}", errors=[field])


def _require_utf8(body: bytes) -> None:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Problem(MALFORMED_JSON, f"the body is not UTF-8: byte {exc.start} is not part of a character") from exc


def _text_among(members: dict[str, Member], name: str, allowed: Collection[str], errors: list[FieldError]) -> str:
    options = ", ".join(allowed)
    value = members[name].value if name in members else None
    if isinstance(value, str) and value in allowed:
        return value
    if name not in members:
        detail = f"is missing: must be one of {options}"
    elif isinstance(value, str):
        detail = f"must be one of {options}, but is {ascii(value)[:80]}"
    else:
        detail = f"must be a text, one of {options}"
    errors.append(FieldError(name, detail, f"#/{name}", list(allowed)))
    return ""
