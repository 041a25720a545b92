"""The endpoints under /schema: the OpenAPI document, and the same as a page.

Both are made once, at the start. The bare address leads to the page.
"""

from __future__ import annotations

import msgspec
from litestar.types import Receive, Scope

from entrypoints.api.answers import Answer
from entrypoints.api.openapi_page import openapi_page
from entrypoints.api.operation_parts import JsonObject

_ROOT = Answer(
    307,
    b"This is the HTTP API of Jobledger. It is explained at /schema\n",  # for those who do not follow, such as curl
    content_type=b"text/plain; charset=utf-8",
    headers=[(b"location", b"/schema")],
)

# The page is complete in itself: nothing is loaded from anywhere, and nothing runs.
_PAGE_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),  # the same for browsers that know no frame-ancestors
    (b"referrer-policy", b"no-referrer"),
)
_DOCUMENT_HEADERS = ((b"access-control-allow-origin", b"*"),)  # so that tools in a browser can read it


class SchemaEndpoints:
    """Each method is one endpoint."""

    def __init__(self, document: JsonObject) -> None:
        self._document = Answer(
            200,
            msgspec.json.format(msgspec.json.encode(document), indent=2),
            content_type=b"application/json",
            headers=_DOCUMENT_HEADERS,
        )
        self._page = Answer(
            200,
            openapi_page(document).encode("utf-8"),
            content_type=b"text/html; charset=utf-8",
            headers=_PAGE_HEADERS,
        )

    async def root(self, scope: Scope, receive: Receive) -> Answer:
        """GET /."""
        return _ROOT

    async def document(self, scope: Scope, receive: Receive) -> Answer:
        """GET /schema/openapi.json."""
        return self._document

    async def page(self, scope: Scope, receive: Receive) -> Answer:
        """GET /schema."""
        return self._page
