"""The mail catcher as a process: SMTP on MAIL_PORT, its pages and API on MAIL_UI_PORT, mails under DATA_DIR/mail."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn

from adapters.mail_catcher.store import MailStore
from adapters.mail_catcher.web_side import make_web_app
from domain.errors import JobledgerError
from entrypoints.process import stop_on_signals
from entrypoints.settings import Settings

log = structlog.get_logger(__name__)

_DRAIN = 3  # seconds that an answer in progress may take at shutdown; nothing is lost when it is cut


class CannotListen(JobledgerError):
    """An address cannot be listened on, mostly because another process does."""

    code = "cannot_listen"


class MailCatcherNotInstalled(JobledgerError):
    """The wheel of the SMTP side is missing."""

    code = "mail_catcher_not_installed"


class CannotKeepMail(JobledgerError):
    """The directory for the mails cannot be used."""

    code = "cannot_keep_mail"


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises a JobledgerError of one sentence for what keeps it from serving."""
    with stop_on_signals() as stop:
        async with serving(settings):
            page = f"http://localhost:{settings.mail_ui_port}"
            log.info("mail catcher ready", smtp_port=settings.mail_port, page=page)
            await stop.wait()
    log.info("mail catcher stopped")


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[None]:
    """Serve while the context is open; both ports answer from its beginning. Raises as `run` does."""
    try:
        from adapters.mail_catcher.smtp_side import serve_smtp
    except ModuleNotFoundError as exc:
        raise MailCatcherNotInstalled(
            f"the mail catcher needs the package {exc.name}: pip install 'jobledger[embedded]'"
        ) from exc
    directory = settings.data_dir / "mail"
    try:
        store = await asyncio.to_thread(MailStore, directory)
    except OSError as exc:
        raise CannotKeepMail(f"DATA_DIR: cannot keep mails in {directory}: {exc.strerror}") from exc
    host = settings.mail_catcher_host
    with (
        _listening(host, settings.mail_port, name="MAIL_PORT") as smtp_socket,
        _listening(host, settings.mail_ui_port, name="MAIL_UI_PORT") as web_socket,
    ):
        web = _Web(store, smtp_port=settings.mail_port)
        async with await serve_smtp(store, smtp_socket):
            serving_web = asyncio.create_task(web.serve(sockets=[web_socket]))
            try:
                yield
            finally:
                web.should_exit = True
                await serving_web


class _Web(uvicorn.Server):
    """uvicorn, but signals are this process's own business."""

    def __init__(self, store: MailStore, *, smtp_port: int) -> None:
        super().__init__(
            uvicorn.Config(
                make_web_app(store, smtp_port=smtp_port),
                log_config=None,
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=_DRAIN,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _listening(host: str, port: int, *, name: str) -> Iterator[socket.socket]:
    try:
        listener = _bound(host, port)
    except OSError as exc:
        in_use = exc.errno == errno.EADDRINUSE
        why = "another process uses this port" if in_use else exc.strerror or str(exc)
        raise CannotListen(f"{name}={port}: cannot listen on {host}:{port}: {why}") from exc
    with listener:
        yield listener


def _bound(host: str, port: int) -> socket.socket:
    # Not socket.create_server(): asyncio sets TCP_NODELAY only where the protocol is named, and without it each answer
    # waits 40 ms for an acknowledgement.
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except BaseException:
        listener.close()
        raise
    return listener
