"""Somebody who follows a page of the documentation on one machine, with `make run`, in tests."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.system.running_up import Up, up_environ
from tests.system.terminal import Terminal

_PORTS = {"3000": "API_PORT", "8025": "MAIL_UI_PORT", "5433": "POSTGRES_PORT", "9464": "METRICS_PORT"}


class Reader(Terminal):
    """One shell for all commands of a page, and `make run` in a terminal beside it."""

    def __init__(self, home: Path, *, instead: Mapping[str, str] | None = None) -> None:
        self._environ = up_environ(home)
        self._service: Up | None = None
        super().__init__(
            home,
            self._environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            ports={usual: self._environ[name] for usual, name in _PORTS.items()},
            instead={".venv/": f"{shlex.quote(sys.prefix)}/", **(instead or {})},
        )

    def start(self) -> None:
        """`make run`, after a Ctrl-C where it runs already."""
        if self._service is not None:
            assert self._service.stop() == 0, self._service.saw()
        self._service = Up(self._environ, self.home)
        self._service.until_up()

    def see_that_it_runs(self) -> None:
        if self._service is None:
            self.start()

    def leave(self) -> None:
        super().leave()
        if self._service is not None:
            self._service.stop()
