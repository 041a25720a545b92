"""Reads a request's body: only JSON by its content type, and never more of it than is allowed."""

from __future__ import annotations

from litestar.types import Receive

from entrypoints.api.problems import BODY_TOO_LARGE, INVALID_REQUEST, NOT_JSON, Problem

_PLAIN = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})


def require_json(headers: dict[bytes, bytes]) -> None:
    """Raise Problem 415 unless the body is declared to be JSON in UTF-8, without a content coding."""
    content_type = headers.get(b"content-type", b"")
    if content_type not in _PLAIN and not _is_json(content_type):
        said = content_type.decode("latin-1")[:100] or "none"
        detail = f"Content-Type must be application/json, but is {said}"
        raise Problem(NOT_JSON, detail, headers=[(b"accept", b"application/json")])
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        # RFC 9110, section 12.5.3: a 415 for a coding tells which are understood.
        raise Problem(NOT_JSON, "the body must not be compressed", headers=[(b"accept-encoding", b"identity")])


async def read_body(
    headers: dict[bytes, bytes], receive: Receive, *, limit: int, setting: str = "MAX_BODY_BYTES"
) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is known to be longer than `limit` bytes, which `setting` says.

    What a client goes on to send after that is thrown away by the server, piece by piece, so that the client gets to read
    the answer and the connection can be used again.
    """
    declared = headers.get(b"content-length")
    if declared is not None and int(declared) > limit:
        raise _too_large(limit, setting)
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        body = message["body"]  # in one piece, as nearly always
        if len(body) > limit:
            raise _too_large(limit, setting)
        return body
    pieces = bytearray()
    while True:
        if message["type"] != "http.request":
            raise Problem(INVALID_REQUEST, "the connection ended before the body did")
        pieces += message["body"]
        if len(pieces) > limit:
            raise _too_large(limit, setting)
        if not message["more_body"]:
            return bytes(pieces)
        message = await receive()


def _too_large(limit: int, setting: str) -> Problem:
    return Problem(BODY_TOO_LARGE, f"the body may be at most {limit} bytes long ({setting})")


def _is_json(content_type: bytes) -> bool:
    """application/json or application/*+json (RFC 6839), with no other charset than UTF-8."""
    media_type, *parameters = content_type.lower().split(b";")
    kind, _, subtype = media_type.strip().partition(b"/")
    if kind != b"application" or not (subtype == b"json" or subtype.endswith(b"+json")):
        return False
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip().strip(b'"') not in (b"utf-8", b"utf8"):
            return False
    return True
