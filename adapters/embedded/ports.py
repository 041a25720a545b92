"""Whether a port can be listened on, asked before anything is started, so that the answer is one clear sentence."""

from __future__ import annotations

import errno
import socket
import time

from adapters.embedded.program import CannotStart

_PATIENCE_SECONDS = 3.0  # what a killed supervisor left behind ends within moments
_LOOK_SECONDS = 0.1


def check_port_is_free(setting: str, host: str, port: int, *, patience: float = _PATIENCE_SECONDS) -> None:
    """Raises CannotStart, which names `setting`, if nobody can listen on `port` of `host` now or within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            _bind(host, port)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                if time.monotonic() < deadline:
                    time.sleep(_LOOK_SECONDS)
                    continue
                raise CannotStart(f"port {port} on {host} is in use: stop what uses it, or set {setting}") from exc
            if exc.errno == errno.EACCES:
                raise CannotStart(f"port {port} on {host} is not for this user: set {setting} above 1023") from exc
            raise CannotStart(f"port {port} on {host} cannot be listened on ({setting}): {exc.strerror}") from exc
        return


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are winding down do not count
        probe.bind(address)
        probe.listen()
