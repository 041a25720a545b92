"""The HTTP side: MailHog's JSON API, the pages, and what they show of a mail.

Mails are hostile. Their HTML goes out only under a sandbox (by the frame and by its own Content-Security-Policy, so also
when opened by itself) that allows no script, no form and no request to anywhere; everything else they hold, as a download.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from email import message_from_bytes
from email.message import Message as EmailMessage
from email.policy import compat32
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from litestar import Litestar, Request, Response, delete, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from adapters.mail_catcher.mailhog import Message, Messages, as_message
from adapters.mail_catcher.page import PAGE_SIZE, Line, Listing, OpenMail, list_fragment, not_found_page, whole_page
from adapters.mail_catcher.reading import read_headers, read_mail
from adapters.mail_catcher.store import CaughtMail, MailStore

_Request = Request[Any, Any, Any]
_HEAD = 64 * 1024  # bytes of a mail that are read for its line in the list
_MOST_ITEMS = 250  # of one page of the API, as in MailHog
_MOST_BYTES = 64 * 1024 * 1024  # of the mails on one page of the API: what does not fit comes with the next page
_ASSETS = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_DOWNLOAD_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


def make_web_app(store: MailStore, *, smtp_port: int) -> Litestar:
    """The application over `store`. `smtp_port` is named to who has no mail yet."""
    handlers = [*_api(store), *_pages(store, smtp_port=smtp_port), *_contents(store), *_rest()]
    # Litestar's own logging would take the root logger away from the process's.
    return Litestar(handlers, openapi_config=None, logging_config=None, debug=False)


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _in_thread(work: Callable[_P, _R]) -> Callable[_P, Awaitable[_R]]:
    """Run a handler in a thread: the store blocks.

    litestar's own `sync_to_thread` wraps the handler twice where a path has handlers for two methods, or a handler two paths,
    and then nobody awaits the inner one: a 500.
    """

    @wraps(work)
    async def handler(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.to_thread(work, *args, **kwargs)

    return handler


def _api(store: MailStore) -> Sequence[ControllerRouterHandler]:
    @get("/api/v2/messages")
    @_in_thread
    def messages(request: _Request) -> Messages:
        return _messages(store, store.ids(), request)

    @get("/api/v2/search")
    @_in_thread
    def search(request: _Request) -> Messages:
        kind, query = request.query_params.get("kind", "containing"), request.query_params.get("query", "")
        return _messages(store, [mail.id for mail in _matching(store, kind=kind, query=query)], request)

    @get("/api/v1/messages")
    @_in_thread
    def messages_v1(request: _Request) -> list[Message]:
        return _messages(store, store.ids(), request).items

    @get("/api/v1/messages/{mail_id:str}")
    @_in_thread
    def message(mail_id: FromPath[str]) -> Response[Any]:
        mail = store.read(mail_id)
        return _gone() if mail is None else Response(as_message(mail), headers=_ALWAYS)

    @delete("/api/v1/messages", status_code=200)
    @_in_thread
    def delete_all() -> Response[bytes]:
        store.delete_all()
        return _deleted()

    @delete("/api/v1/messages/{mail_id:str}", status_code=200)
    @_in_thread
    def delete_one(mail_id: FromPath[str]) -> Response[Any]:
        return _deleted() if store.delete(mail_id) else _gone()

    return [messages, search, messages_v1, message, delete_all, delete_one]


def _pages(store: MailStore, *, smtp_port: int) -> Sequence[ControllerRouterHandler]:
    @get("/")
    @_in_thread
    def start_page(request: _Request) -> Response[bytes]:
        return _html(whole_page(_listing(store, request), None, smtp_port=smtp_port))

    @get("/messages/{mail_id:str}")
    @_in_thread
    def mail_page(request: _Request, mail_id: FromPath[str]) -> Response[bytes]:
        listing = _listing(store, request, selected=mail_id)
        mail = store.read(mail_id)
        if mail is None:
            return _html(not_found_page(listing, smtp_port=smtp_port), status=404)
        view = request.query_params.get("view", "")
        return _html(whole_page(listing, OpenMail(mail, read_mail(mail.content), view), smtp_port=smtp_port))

    @get("/list")
    @_in_thread
    def list_alone(request: _Request) -> Response[bytes]:
        # Of the ids alone: a page that refreshes itself every other second should not read all mails each time.
        seen = "\n".join([str(request.url), *store.ids()])
        etag = f'"{hashlib.sha256(seen.encode("utf-8", "replace")).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers={"ETag": etag})
        listing = _listing(store, request, selected=request.query_params.get("selected", ""))
        page = _html(list_fragment(listing, smtp_port=smtp_port))
        page.headers["ETag"] = etag
        return page

    return [start_page, mail_page, list_alone]


def _contents(store: MailStore) -> Sequence[ControllerRouterHandler]:
    @get("/messages/{mail_id:str}/html")
    @_in_thread
    def html(mail_id: FromPath[str]) -> Response[Any]:
        mail = store.read(mail_id)
        readable = read_mail(mail.content) if mail else None
        if readable is None or readable.html is None:
            return _gone()
        text = readable.html
        for part in readable.parts:
            if part.content_id:
                text = text.replace(f"cid:{part.content_id}", f"/messages/{quote(mail_id)}/parts/{part.number}")
        # Links open beside the frame; a later base of the mail's own cannot take this back.
        body = b'<!doctype html><base target="_blank">' + text.encode("utf-8", "replace")
        headers = {**_ALWAYS, "Content-Security-Policy": _MAIL_POLICY}
        return Response(body, media_type="text/html", headers=headers)

    @get("/messages/{mail_id:str}/parts/{number:int}")
    @_in_thread
    def part(mail_id: FromPath[str], number: FromPath[int]) -> Response[Any]:
        mail = store.read(mail_id)
        found = [part for part in read_mail(mail.content).parts if part.number == number] if mail else []
        return _download(found[0].content, name=found[0].name, kind=found[0].type) if found else _gone()

    @get(["/messages/{mail_id:str}/download", "/api/v1/messages/{mail_id:str}/download"])
    @_in_thread
    def download(mail_id: FromPath[str]) -> Response[Any]:
        mail = store.read(mail_id)
        return _gone() if mail is None else _download(mail.content, name=f"{mail.id}.eml", kind="message/rfc822")

    return [html, part, download]


def _rest() -> Sequence[ControllerRouterHandler]:
    @get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @get("/assets/{name:str}")
    @_in_thread
    def asset(name: FromPath[str]) -> Response[Any]:
        if name not in _ASSETS:
            return _gone()
        content = (Path(__file__).parent / "assets" / name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={**_ALWAYS, "Cache-Control": "no-cache"})

    return [livez, asset]


def _messages(store: MailStore, ids: Sequence[str], request: _Request) -> Messages:
    start, limit = _whole(request, "start", 0), min(_whole(request, "limit", PAGE_SIZE) or PAGE_SIZE, _MOST_ITEMS)
    items: list[Message] = []
    room = _MOST_BYTES
    for mail in _read(store, ids[start : start + limit]):
        room -= mail.size
        if room < 0 and items:
            break
        items.append(as_message(mail))
    return Messages(total=len(ids), count=len(items), start=start, items=items)


def _matching(store: MailStore, *, kind: str, query: str) -> Iterator[CaughtMail]:
    """The mails with `query`, in any case, in a sender, a recipient, or anywhere ("containing"). All, if it is empty."""
    wanted = query.casefold()
    for mail in _read(store, store.ids()):
        if kind == "from":
            texts = [mail.envelope.sender, _head(mail).get("from", "")]
        elif kind == "to":
            texts = [*mail.envelope.recipients, _head(mail).get("to", "")]
        else:
            readable = read_mail(mail.content)
            texts = [*mail.envelope.recipients, *(value for _, value in readable.headers)]
            texts += [readable.text or "", readable.html or "", mail.content.decode("utf-8", "replace")]
        if any(wanted in text.casefold() for text in texts):
            yield mail


def _listing(store: MailStore, request: _Request, *, selected: str = "") -> Listing:
    query, start = request.query_params.get("q", ""), _whole(request, "start", 0)
    ids = [mail.id for mail in _matching(store, kind="containing", query=query)] if query else store.ids()
    lines = [_line(mail) for mail in _read(store, ids[start : start + PAGE_SIZE], at_most=_HEAD)]
    return Listing(lines=lines, total=len(ids), start=start, query=query, selected=selected)


def _line(mail: CaughtMail) -> Line:
    head = _head(mail)
    return Line(
        id=mail.id,
        sender=head.get("from", "") or mail.envelope.sender,
        recipients=", ".join(mail.envelope.recipients) or head.get("to", ""),
        subject=head.get("subject", ""),
        created=mail.envelope.created,
        size=mail.size,
    )


def _head(mail: CaughtMail) -> dict[str, str]:
    """The headers by their names in lower case, of several the first."""
    head = re.split(rb"\r?\n\r?\n", mail.content[:_HEAD], maxsplit=1)[0]
    try:
        message: EmailMessage = message_from_bytes(head, policy=compat32)
        return {name.lower(): value for name, value in reversed(read_headers(message))}
    except Exception:  # noqa: BLE001 - whatever the parser finds wrong with what anyone may send
        return {}


def _read(store: MailStore, ids: Sequence[str], *, at_most: int = -1) -> Iterator[CaughtMail]:
    return (mail for mail in (store.read(mail_id, at_most=at_most) for mail_id in ids) if mail is not None)


def _whole(request: _Request, name: str, default: int) -> int:
    """A number of the query; as in MailHog, what is none is as if not given."""
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else default


def _html(page: bytes, *, status: int = 200) -> Response[bytes]:
    headers = {**_ALWAYS, "Content-Security-Policy": _PAGE_POLICY}
    return Response(page, status_code=status, media_type="text/html", headers=headers)


def _download(content: bytes, *, name: str, kind: str) -> Response[bytes]:
    media_type = kind if re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", kind) else "application/octet-stream"
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers = {**_ALWAYS, "Content-Disposition": disposition, "Content-Security-Policy": _DOWNLOAD_POLICY}
    return Response(content, media_type=media_type, headers=headers)


def _deleted() -> Response[bytes]:
    """Empty, as MailHog's: clients take any body for JSON."""
    return Response(b"", media_type="text/plain", headers=_ALWAYS)


def _gone() -> Response[Any]:
    return Response({"detail": "There is no such mail (any more)."}, status_code=404, headers=_ALWAYS)
