"""The mail catcher over its real ports: SMTP in; the pages, MailHog's API and its published Python client out."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from adapters.job_types.email_send import Email, email_send
from adapters.mail_catcher.reading import read_mail
from adapters.mail_catcher.smtp_side import LARGEST
from adapters.mail_catcher.store import Envelope, MailStore
from adapters.smtp.config import MailConfig
from adapters.smtp.mailbox import parse_mailbox
from entrypoints.mail_catcher import CannotKeepMail, CannotListen, MailCatcherNotInstalled, serving
from entrypoints.settings import Settings
from tests.conftest import free_port
from tests.contexts import JOB_ID, HandlerContext, as_context
from tests.until import until_now

_SENDERS = ThreadPoolExecutor(max_workers=60)


class Catcher(Struct):
    """A running catcher, and what a test does with it."""

    settings: Settings
    http: httpx.AsyncClient

    @property
    def client(self) -> Any:
        """The published client, which has no types."""
        why = "a dependency of the published client cannot be imported by this Python"
        mailhog = pytest.importorskip("mailhog", reason=why, exc_type=ImportError)
        return mailhog.Mailhog("127.0.0.1", self.settings.mail_ui_port)

    async def take(self, content: bytes, *, to: list[str] | None = None, sender: str = "ann@example.com") -> None:
        """Hand a message to it over SMTP, byte for byte."""
        send = partial(self._send, content, to=to or ["bob@example.com"], sender=sender)
        # Threads of their own: the catcher, which runs in this very loop, needs the usual ones.
        await asyncio.get_running_loop().run_in_executor(_SENDERS, send)

    def _send(self, content: bytes, *, to: list[str], sender: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.settings.mail_port, timeout=60) as smtp:
            utf8 = not "".join([sender, *to]).isascii()
            smtp.sendmail(sender, to, content, mail_options=["SMTPUTF8", "BODY=8BITMIME"] if utf8 else [])

    async def items(self, path: str = "/api/v2/messages", **query: str | int) -> list[dict[str, Any]]:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def only_id(self) -> str:
        (item,) = await self.items()
        return str(item["ID"])


def settings_in(directory: Path) -> Settings:
    return Settings(data_dir=directory, mail_port=free_port(), mail_ui_port=free_port())


@pytest.fixture
async def catcher(running_catcher: Catcher) -> Catcher:
    """A catcher without mails."""
    await running_catcher.http.delete("/api/v1/messages")
    return running_catcher


@pytest.fixture(scope="module")
async def running_catcher(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Catcher]:
    settings = settings_in(tmp_path_factory.mktemp("catcher"))
    url = f"http://127.0.0.1:{settings.mail_ui_port}"
    async with serving(settings), httpx.AsyncClient(base_url=url, timeout=60) as http:
        yield Catcher(settings=settings, http=http)


def message(subject: str = "Hello", **parts: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@example.com>", "bob@example.com", subject
    mail.set_content(parts.get("text", "How are you?\n"))
    if "html" in parts:
        mail.add_alternative(parts["html"], subtype="html")
    return mail.as_bytes(policy=SMTP)


async def test_a_mail_of_email_send_is_read_by_the_published_python_client(catcher: Catcher) -> None:
    sender = parse_mailbox("Jobledger <jobs@example.org>", field="MAIL_FROM")
    job = email_send(MailConfig(host="127.0.0.1", port=catcher.settings.mail_port, sender=sender))
    payload = Email(
        to="ann@example.com", cc=["bob@example.com"], subject="It's done", body="Done.", html="<b>Done.</b>"
    )
    await job.run(payload, as_context(HandlerContext()))

    found = await asyncio.to_thread(catcher.client.messages)
    assert (found.total, found.count, found.start) == (1, 1, 0)
    (mail,) = found.items
    assert mail.get_sender() == "jobs@example.org"
    assert mail.get_recipients() == ["ann@example.com", "bob@example.com"]
    assert mail.get_subject() == "It's done"
    assert f"<{JOB_ID}@example.org>" in mail.content.headers["Message-ID"]
    assert [part.body for part in mail.mime.parts] == ["Done.", "<b>Done.</b>"]


async def test_the_python_client_searches_and_deletes(catcher: Catcher) -> None:
    await catcher.take(message("One"), to=["one@example.com"])
    await catcher.take(message("Two"), to=["two@example.com"], sender="eve@example.com")

    def search(query: str, kind: str) -> list[str]:
        return [mail.get_subject() for mail in catcher.client.search(query, kind=kind).items]

    assert await asyncio.to_thread(search, "ONE@example", "to") == ["One"]
    assert await asyncio.to_thread(search, "eve@", "from") == ["Two"]
    assert await asyncio.to_thread(search, "are YOU", "containing") == ["Two", "One"]
    assert await asyncio.to_thread(search, "nowhere", "containing") == []

    def delete_one() -> int:
        catcher.client.delete(catcher.client.search("one@", kind="to").items[0])
        return int(catcher.client.messages().total)

    assert await asyncio.to_thread(delete_one) == 1
    await asyncio.to_thread(catcher.client.delete_all)
    assert (await asyncio.to_thread(catcher.client.messages)).total == 0


async def test_the_json_is_what_the_node_client_reads(catcher: Catcher) -> None:
    """That client takes the first of each list of headers, decodes bodies itself, and takes any body for JSON."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "bob@example.com", "Grüße"
    mail.set_content("Hällo wörld, over here\n", cte="quoted-printable")
    mail.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename="a.bin")
    await catcher.take(mail.as_bytes(policy=SMTP))

    (item,) = await catcher.items()
    assert item["From"] == {"Relays": None, "Mailbox": "ann", "Domain": "example.com", "Params": ""}
    assert item["To"] == [{"Relays": None, "Mailbox": "bob", "Domain": "example.com", "Params": ""}]
    assert item["Raw"]["From"] == "ann@example.com"
    assert item["Raw"]["To"] == ["bob@example.com"]
    assert item["Raw"]["Data"].startswith("From: ann@example.com\r\n")
    assert item["Raw"]["Helo"]
    assert item["Created"].endswith("Z")
    assert item["Content"]["Headers"]["Subject"] == ["=?utf-8?q?Gr=C3=BC=C3=9Fe?="]
    assert item["Content"]["Size"] == len(item["Raw"]["Data"])
    text, attachment = item["MIME"]["Parts"]
    assert text["Headers"]["Content-Type"] == ['text/plain; charset="utf-8"']
    assert text["Body"] == "H=C3=A4llo w=C3=B6rld, over here"
    assert attachment["Headers"]["Content-Disposition"] == ['attachment; filename="a.bin"']
    assert base64.b64decode(attachment["Body"]) == b"\x00\x01"

    one = await catcher.http.get(f"/api/v1/messages/{item['ID']}")
    assert one.json() == item
    for path in (f"/api/v1/messages/{item['ID']}", "/api/v1/messages"):
        deleted = await catcher.http.delete(path)
        assert (deleted.status_code, deleted.content) == (200, b"")
    assert (await catcher.http.get(f"/api/v1/messages/{item['ID']}")).status_code == 404
    assert (await catcher.http.delete(f"/api/v1/messages/{item['ID']}")).status_code == 404


async def test_lists_are_paged_newest_first_and_odd_pages_are_no_error(catcher: Catcher) -> None:
    for number in range(5):
        await catcher.take(message(f"Mail {number}"))

    def subjects(items: list[dict[str, Any]]) -> list[str]:
        return [item["Content"]["Headers"]["Subject"][0] for item in items]

    assert subjects(await catcher.items()) == ["Mail 4", "Mail 3", "Mail 2", "Mail 1", "Mail 0"]
    assert subjects(await catcher.items(start=1, limit=2)) == ["Mail 3", "Mail 2"]
    assert len(await catcher.items(start="-1", limit="many")) == 5
    assert await catcher.items(start=7) == []
    page = (await catcher.http.get("/api/v2/messages", params={"start": 3, "limit": 10})).json()
    assert (page["total"], page["count"], page["start"]) == (5, 2, 3)


async def test_bytes_arrive_as_they_were_sent(catcher: Catcher) -> None:
    content = "Subject: Grüße\r\n\r\n.\r\n..two\r\n.one\r\nünïcödé \U0001f600\r\n".encode() + b"not utf-8: \xff\xfe\r\n"
    await catcher.take(content, sender="jürgen@example.com", to=["ann@bücher.example", "zoë@example.com"])
    (item,) = await catcher.items()
    assert item["From"]["Mailbox"] == "jürgen"
    assert [path["Domain"] for path in item["To"]] == ["bücher.example", "example.com"]
    downloaded = await catcher.http.get(f"/api/v1/messages/{item['ID']}/download")
    assert downloaded.content == content


async def test_large_mails_are_taken_up_to_a_limit_that_is_announced(catcher: Catcher) -> None:
    line = b"x" * 900 + b"\r\n"
    await catcher.take(b"Subject: Large\r\n\r\n" + line * ((LARGEST - 1000) // len(line)))
    assert len(await catcher.items()) == 1
    with pytest.raises(smtplib.SMTPSenderRefused, match="552"):
        await catcher.take(b"Subject: Too large\r\n\r\n" + line * (LARGEST // len(line) + 1))
    assert (await catcher.http.get(f"/messages/{await catcher.only_id()}")).status_code == 200


async def test_many_connections_at_once_lose_nothing(catcher: Catcher) -> None:
    await asyncio.gather(*(catcher.take(message(f"Mail {number}")) for number in range(60)))
    items = await catcher.items(limit=100)
    assert {item["Content"]["Headers"]["Subject"][0] for item in items} == {f"Mail {number}" for number in range(60)}


async def test_any_user_and_password_may_log_in(catcher: Catcher) -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", catcher.settings.mail_port, timeout=60) as smtp:
            smtp.login("ann", "secret")
            smtp.sendmail("ann@example.com", ["bob@example.com"], message())

    await asyncio.to_thread(send)
    assert len(await catcher.items()) == 1


DEEP = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(1200))
HOSTILE = {
    "empty": b"",
    "no headers": b"just text",
    "only breaks": b"\r\n\r\n\r\n",
    "no colon": b"Subject\r\n: nothing\r\n\r\n",
    "deep": DEEP,
    "huge header": b"Subject: " + b"a" * 900_000 + b"\r\n\r\nHi",
    "many headers": b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\nHi",
    "many parts": b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--",
    "unknown charset": b"Content-Type: text/html; charset=no-such\r\nSubject: =?no-such?q?x?=\r\n\r\n<b>Hi",
    "codec that is none for text": b"Content-Type: text/plain; charset=base64\r\n\r\nHi",
    "broken encoded words": b"Subject: =?utf-8?b?====?= =?utf-8?q?=ZZ?= =?utf-8?b?\xff?=\r\nFrom: =?\r\n\r\n",
    "broken base64": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!a",
    "broken uuencode": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin\r\nM!",
    "bad parameters": b"Content-Type: text/plain; charset*=x'y; charset*0*=a; =; ;\"\r\nContent-Disposition: a;\r\n\r\nHi",
    "addresses": b'From: <<<>>@@,,;"\r\nTo: ,,,\r\nDate: yesterday\r\nMessage-ID: <\r\n\r\n',
    "no utf-8": b"Subject: \xff\xfe\r\nX-\xff: \xff\r\n\r\n\xff\xfe\x00\x01",
    "surrogates": b"Content-Type: text/plain; charset=utf-16\r\n\r\n\x00\xd8",
    "markup": b"Subject: </title><script>alert(1)</script>\r\n\r\n</div><script>alert(1)</script>",
    "escaping from the list": b'From: "><img src=x onerror=alert(1)>\r\nSubject: " onload="alert(1)\r\n\r\nHi',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_mail_breaks_a_page_or_gets_markup_into_it(catcher: Catcher, name: str) -> None:
    await catcher.take(HOSTILE[name])
    mail_id = await catcher.only_id()
    pages = ["/", "/list", "/?q=alert", "/?start=1"]
    pages += [f"/messages/{mail_id}{view}" for view in ("", "?view=text", "?view=headers", "?view=source", "?view=no")]
    for path in pages:
        answer = await catcher.http.get(path)
        assert answer.status_code == 200, path
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
    api = [f"/messages/{mail_id}/html", f"/messages/{mail_id}/parts/0", f"/messages/{mail_id}/parts/999999"]
    api += [f"/messages/{mail_id}/download", f"/api/v1/messages/{mail_id}", "/api/v2/search?kind=from&query=x"]
    api += ["/api/v1/messages", "/api/v2/search?query=alert", "/api/v2/search?kind=no&query=%FF"]
    for path in api:
        assert (await catcher.http.get(path)).status_code in (200, 404), path


@pytest.mark.parametrize("name", HOSTILE)
def test_reading_gives_something_for_every_message(name: str) -> None:
    read_mail(HOSTILE[name]).header("subject").encode()


@pytest.mark.parametrize(
    "mail_id", ["nobody", "%2e%2e", "%2e%2e%2fsecret", "a%00b", ".hidden", "x" * 5000, "%ff", "a/b"]
)
async def test_an_id_is_never_a_path(catcher: Catcher, mail_id: str) -> None:
    secret = catcher.settings.data_dir / "secret.eml"
    secret.write_text("the secret")
    for path in (f"/messages/{mail_id}", f"/messages/{mail_id}/download", f"/api/v1/messages/{mail_id}"):
        answer = await catcher.http.get(path)
        assert answer.status_code in (400, 404), path
        assert "the secret" not in answer.text
    assert (await catcher.http.delete(f"/api/v1/messages/{mail_id}")).status_code in (400, 404, 405)
    assert secret.exists()


async def test_a_mails_html_is_served_under_a_sandbox_and_framed_by_one(catcher: Catcher) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Look"
    mail.set_content("Look: https://example.com/a?b=1&c=2.\n")
    mail.add_alternative('<script>alert(1)</script><p style="color:red"><img src="cid:dot"></p>', subtype="html")
    mail.add_attachment(b"<svg/>", maintype="image", subtype="svg+xml", filename="../d\u00f6t.svg", cid="<dot>")
    await catcher.take(mail.as_bytes(policy=SMTP))
    url = f"/messages/{await catcher.only_id()}"

    page = await catcher.http.get(url)
    assert f'sandbox="allow-popups allow-popups-to-escape-sandbox" src="{url}/html"' in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "alert(1)" not in page.text

    html = await catcher.http.get(f"{url}/html")
    policy = html.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; ")
    assert "allow-scripts" not in policy
    assert "script-src" not in policy
    assert f'<img src="{url}/parts/0">' in html.text

    part = await catcher.http.get(f"{url}/parts/0")
    assert part.content == b"<svg/>"
    assert part.headers["Content-Disposition"] == "attachment; filename*=UTF-8''_d%C3%B6t.svg"
    assert part.headers["Content-Security-Policy"].startswith("sandbox;")
    assert part.headers["X-Content-Type-Options"] == "nosniff"

    text = await catcher.http.get(f"{url}?view=text")
    assert 'href="https://example.com/a?b=1&amp;c=2"' in text.text


async def test_the_list_refreshes_only_when_it_changed(catcher: Catcher) -> None:
    await catcher.take(message("One"))
    first = await catcher.http.get("/list")
    assert "One" in first.text
    same = await catcher.http.get("/list", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    await catcher.take(message("Two"))
    changed = await catcher.http.get("/list", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert "Two" in changed.text


async def test_the_pages_need_nothing_from_elsewhere(catcher: Catcher) -> None:
    page = (await catcher.http.get("/")).text
    for asset in ("/assets/style.css", "/assets/page.js", "/assets/icon.svg"):
        assert asset in page
        answer = await catcher.http.get(asset)
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert (await catcher.http.get("/assets/store.py")).status_code == 404
    assert (await catcher.http.get("/livez")).json() == {"status": "ok"}


async def test_mails_survive_a_restart_and_files_of_others_are_borne(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    url = f"http://127.0.0.1:{settings.mail_ui_port}"
    store = MailStore(tmp_path / "mail")
    kept = store.add(Envelope(sender="ann@example.com", recipients=("bob@example.com",)), message("Kept"))
    (tmp_path / "mail" / ".half.tmp").write_bytes(b"half")
    (tmp_path / "mail" / "torn.eml").write_bytes(b'X-Mail-Catcher: {"sender": "ann@exa')
    (tmp_path / "mail" / "empty.eml").touch()
    (tmp_path / "mail" / "foreign.eml").write_bytes(message("Foreign").replace(b"\r\n", b"\n"))
    (tmp_path / "mail" / "notes.txt").write_text("not a mail")
    (tmp_path / "mail" / "directory.eml").mkdir()
    (tmp_path / "mail" / "link.eml").symlink_to("/etc/passwd")
    async with serving(settings), httpx.AsyncClient(base_url=url, timeout=60) as http:
        items = (await http.get("/api/v2/messages")).json()["items"]
        assert {item["ID"] for item in items} == {kept, "torn", "empty", "foreign"}
        headers = {item["ID"]: item["Content"]["Headers"] for item in items}
        assert headers["foreign"]["Subject"] == ["Foreign"]
        assert {item["ID"]: item["From"]["Mailbox"] for item in items}[kept] == "ann"
        for mail_id in (kept, "torn", "empty", "foreign"):
            assert (await http.get(f"/messages/{mail_id}")).status_code == 200
        await http.delete("/api/v1/messages")
    assert {path.name for path in (tmp_path / "mail").iterdir()} == {"notes.txt", "directory.eml", "link.eml"}


async def test_a_port_in_use_is_one_clear_sentence(catcher: Catcher, tmp_path: Path) -> None:
    taken = catcher.settings
    for name in ("mail_port", "mail_ui_port"):
        free = {"mail_port": free_port(), "mail_ui_port": free_port(), name: getattr(taken, name)}
        with pytest.raises(CannotListen, match=rf"^{name.upper()}={free[name]}: .* another process uses this port$"):
            async with serving(Settings(data_dir=tmp_path / "other", **free)):
                pass


async def test_a_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(CannotKeepMail, match=r"^DATA_DIR: cannot keep mails in "):
        async with serving(settings_in(tmp_path)):
            pass


async def test_a_missing_wheel_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "adapters.mail_catcher.smtp_side")
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(
        MailCatcherNotInstalled, match=r"needs the package aiosmtpd.*: pip install 'jobledger\[embedded\]'$"
    ):
        async with serving(settings_in(tmp_path)):
            pass


async def test_a_full_disk_is_told_to_the_sender_and_not_taken(catcher: Catcher) -> None:
    directory = catcher.settings.data_dir / "mail"
    directory.rmdir()  # the nearest thing to a full disk that a test can make
    with pytest.raises(smtplib.SMTPDataError, match="452"):
        await catcher.take(message())
    directory.mkdir()
    await catcher.take(message())
    assert len(await catcher.items()) == 1


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    settings = settings_in(tmp_path)
    environ = {**os.environ, "DATA_DIR": str(tmp_path), "MAIL_PORT": str(settings.mail_port)}
    environ["MAIL_UI_PORT"] = str(settings.mail_ui_port)
    command = [sys.executable, "-m", "jobledger", "mail-catcher"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as running:
        yield running, settings.mail_ui_port
        if running.poll() is None:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_in_order_when_it_is_told(
    process: tuple[subprocess.Popen[bytes], int], number: signal.Signals
) -> None:
    running, port = process

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    until_now(answers, within=60)
    running.send_signal(number)
    assert running.wait(30) == 0
