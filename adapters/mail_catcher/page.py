"""The pages: a list of mails and the one that is open, as HTML.

Built as a tree of the standard library and serialised once, so all that comes from a mail is escaped by construction; no
markup is ever put together from strings here. A mail's own HTML is not in these pages: they frame it (see `web_side`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, tostring

from msgspec import Struct

from adapters.mail_catcher.reading import ReadableMail
from adapters.mail_catcher.store import CaughtMail

PAGE_SIZE = 50
VIEWS = ("html", "text", "headers", "source")
_LONGEST_SOURCE = 500_000  # characters shown of a source; the download has all of it
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")


class Line(Struct, frozen=True):
    """One line of the list."""

    id: str
    sender: str
    recipients: str
    subject: str
    created: datetime
    size: int


class Listing(Struct, frozen=True):
    """One page of the list. `total` counts all mails that match `query`."""

    lines: Sequence[Line]
    total: int
    start: int = 0
    query: str = ""
    selected: str = ""


class OpenMail(Struct, frozen=True):
    """The mail that is shown, in one of VIEWS ("": the best that there is)."""

    mail: CaughtMail
    readable: ReadableMail
    view: str = ""


def whole_page(listing: Listing, opened: OpenMail | None, *, smtp_port: int) -> bytes:
    """The page with the list on one side and `opened`, if any, on the other."""
    subject = opened.readable.header("subject") if opened else ""
    return b"<!doctype html>\n" + _html(
        _el(
            "html",
            {"lang": "en"},
            _el(
                "head",
                {},
                _el("meta", {"charset": "utf-8"}),
                _el("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
                _el("meta", {"name": "color-scheme", "content": "light dark"}),
                _el("title", {}, f"{subject or 'Mail'} · Jobledger"),
                _el("link", {"rel": "icon", "href": "/assets/icon.svg", "type": "image/svg+xml"}),
                _el("link", {"rel": "stylesheet", "href": "/assets/style.css"}),
                _el("script", {"src": "/assets/page.js", "defer": ""}),
            ),
            _el(
                "body",
                {"class": "reading" if opened else "listing"},
                _bar(listing),
                _el(
                    "main",
                    {},
                    _el("nav", {"aria-label": "Mails"}, _list(listing, smtp_port=smtp_port)),
                    _el("article", {}, *(_mail(opened) if opened else [_nothing_open(listing)])),
                ),
            ),
        )
    )


def list_fragment(listing: Listing, *, smtp_port: int) -> bytes:
    """The list alone, with which an open page refreshes itself."""
    return _html(_list(listing, smtp_port=smtp_port))


def not_found_page(listing: Listing, *, smtp_port: int) -> bytes:
    """The page for a mail that is not there (any more)."""
    return whole_page(listing, None, smtp_port=smtp_port).replace(b"Choose a mail", b"This mail is not there any more")


def _bar(listing: Listing) -> Element:
    return _el(
        "header",
        {},
        _el("a", {"class": "brand", "href": "/"}, _el("span", {}, "Jobledger"), " mail"),
        _el(
            "form",
            {"action": "/", "role": "search"},
            _el(
                "input",
                {
                    "type": "search",
                    "name": "q",
                    "value": listing.query,
                    "placeholder": "Search",
                    "aria-label": "Search",
                },
            ),
        ),
        _el("button", {"type": "button", "class": "danger", "data-delete": "/api/v1/messages"}, "Delete all"),
    )


def _list(listing: Listing, *, smtp_port: int) -> Element:
    around = {"q": listing.query} if listing.query else {}
    here = {**around, **({"start": str(listing.start)} if listing.start else {})}
    refresh = urlencode({**here, **({"selected": listing.selected} if listing.selected else {})})
    items = [
        _el(
            "li",
            {},
            _el(
                "a",
                {
                    "href": f"{_url(line.id)}{'?' if here else ''}{urlencode(here)}",
                    **({"aria-current": "true"} if line.id == listing.selected else {}),
                },
                _el("span", {"class": "who"}, line.recipients or "(nobody)"),
                _time(line.created),
                _el("span", {"class": "subject"}, line.subject or "(no subject)"),
                _el("span", {"class": "from"}, f"from {line.sender or '(unknown)'} · {_size(line.size)}"),
            ),
        )
        for line in listing.lines
    ]
    steps = []
    if listing.start:
        newer = urlencode({**around, "start": max(0, listing.start - PAGE_SIZE)})
        steps.append(_el("a", {"href": f"/?{newer}"}, "← newer"))
    if listing.start + len(listing.lines) < listing.total:
        older = urlencode({**around, "start": listing.start + PAGE_SIZE})
        steps.append(_el("a", {"href": f"/?{older}"}, "older →"))
    what = "mail" if listing.total == 1 else "mails"
    return _el(
        "section",
        {"id": "list", "data-refresh": f"/list?{refresh}"},
        _el("p", {"class": "count"}, f"{listing.total} {what}", " found" if listing.query else ""),
        _el("ol", {}, *items) if items else _nothing_listed(listing, smtp_port=smtp_port),
        _el("p", {"class": "steps"}, *steps),
    )


def _nothing_listed(listing: Listing, *, smtp_port: int) -> Element:
    if listing.query:
        return _el("p", {"class": "empty"}, "No mail holds this text.")
    return _el("p", {"class": "empty"}, "No mail yet. Send one to ", _el("code", {}, f"localhost:{smtp_port}"), ".")


def _nothing_open(listing: Listing) -> Element:
    return _el("p", {"class": "empty"}, "Choose a mail" if listing.lines else "What comes in appears here by itself.")


def _mail(opened: OpenMail) -> list[Element]:
    mail, readable = opened.mail, opened.readable
    offered = {"html": readable.html is not None, "text": readable.text is not None}
    views = [view for view in VIEWS if offered.get(view, True)]
    view = opened.view if opened.view in views else views[0]
    facts = [
        ("From", readable.header("from")),
        ("To", readable.header("to")),
        ("Cc", readable.header("cc")),
        ("Reply to", readable.header("reply-to")),
        ("Date", readable.header("date")),
        ("Envelope", f"{mail.envelope.sender or '<>'} → {', '.join(mail.envelope.recipients) or '(nobody)'}"),
    ]
    url = _url(mail.id)
    return [
        _el(
            "header",
            {},
            _el("h1", {}, readable.header("subject") or "(no subject)"),
            _el("button", {"type": "button", "class": "danger", "data-delete": f"/api/v1{url}"}, "Delete"),
        ),
        _el("dl", {}, *(_el("div", {}, _el("dt", {}, name), _el("dd", {}, value)) for name, value in facts if value)),
        _attachments(opened),
        _el(
            "p",
            {"class": "views"},
            *(
                _el(
                    "a",
                    {"href": f"{url}?view={name}", **({"aria-current": "page"} if name == view else {})},
                    "HTML" if name == "html" else name.capitalize(),
                )
                for name in views
            ),
            _el("a", {"href": f"{url}/download", "class": "download"}, f"Download ({_size(mail.size)})"),
        ),
        _body(opened, view),
    ]


def _attachments(opened: OpenMail) -> Element:
    url = _url(opened.mail.id)
    return _el(
        "ul",
        {"class": "attachments"},
        *(
            _el(
                "li",
                {},
                _el(
                    "a",
                    {"href": f"{url}/parts/{part.number}", "download": part.name, "title": part.type},
                    part.name,
                    _el("small", {}, f" {_size(len(part.content))}"),
                ),
            )
            for part in opened.readable.parts
        ),
    )


def _body(opened: OpenMail, view: str) -> Element:
    if view == "html":
        # Scripts, forms and this origin stay closed to it; a click may open a page of its own.
        sandbox = "allow-popups allow-popups-to-escape-sandbox"
        src = f"{_url(opened.mail.id)}/html"
        return _el(
            "iframe", {"title": "The mail's HTML", "sandbox": sandbox, "src": src, "referrerpolicy": "no-referrer"}
        )
    if view == "text":
        return _el("div", {"class": "text"}, *_with_links(opened.readable.text or ""))
    if view == "headers":
        rows = [_el("tr", {}, _el("th", {}, name), _el("td", {}, value)) for name, value in opened.readable.headers]
        return _el("table", {}, _el("tbody", {}, *rows))
    source = opened.mail.content[:_LONGEST_SOURCE].decode("utf-8", "replace").replace("\r\n", "\n")
    cut = "\n… (the download has all of it)" if opened.mail.size > _LONGEST_SOURCE else ""
    return _el("pre", {}, source.replace("\0", "\ufffd") + cut)


def _with_links(text: str) -> list[Element | str]:
    pieces: list[Element | str] = []
    end = 0
    for found in _LINK.finditer(text):
        outside = {"href": found[0], "target": "_blank", "rel": "noopener noreferrer"}
        pieces += [text[end : found.start()], _el("a", outside, found[0])]
        end = found.end()
    return [*pieces, text[end:]]


def _time(moment: datetime) -> Element:
    return _el("time", {"datetime": moment.isoformat(timespec="seconds")}, f"{moment:%Y-%m-%d %H:%M} UTC")


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MB"


def _url(mail_id: str) -> str:
    return f"/messages/{quote(mail_id, safe='')}"


def _el(tag: str, attributes: dict[str, str], *children: Element | str) -> Element:
    element = Element(tag, attributes)
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def _html(element: Element) -> bytes:
    return tostring(element, encoding="unicode", method="html").encode("utf-8", "replace")
