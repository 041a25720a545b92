"""Somebody who follows a page of the documentation in a terminal, in tests.

    python -m tests.system.reader docs/auditing.md

follows it on a service of its own and writes what was really answered into the page, where that is not what it shows.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.system.pages import Step, agree, only_asks, steps_of
from tests.system.running_up import UP_SECONDS, Up, up_environ

_PORTS = {"3000": "API_PORT", "8025": "MAIL_UI_PORT", "5433": "POSTGRES_PORT"}
_SETTLED_SECONDS = 3.0  # no job of the pages waits for longer between two attempts


class Reader:
    """Somebody who follows a page: one bash for all of its commands, and `make run` in a terminal beside it.

    `instead` is what this reader types in place of some words.
    """

    def __init__(self, home: Path, *, instead: Mapping[str, str] | None = None) -> None:
        self.environ = up_environ(home)
        self._home = home
        self._instead = {".venv/": f"{shlex.quote(sys.prefix)}/", **(instead or {})}
        self._service: Up | None = None
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=home,
            env=self.environ | {"PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self) -> None:
        """`make run`, after a Ctrl-C where it runs already."""
        if self._service is not None:
            assert self._service.stop() == 0, self._service.saw()
        self._service = Up(self.environ, self._home)
        self._service.until_up()

    def see_that_it_runs(self) -> None:
        if self._service is None:
            self.start()

    def type(self, commands: str) -> str:
        """What the commands write, standard error included."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        commands = self.with_ports(commands)
        for words, ours in self._instead.items():
            commands = commands.replace(words, ours)
        self._bash.stdin.write(f"{commands}\necho; echo '<<end>>'\n")
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            if line == "<<end>>\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended: {said}")

    def follow(self, step: Step, *, numbers_too: bool = True) -> None:
        """Do one step, which must be answered as is shown."""
        said = self.type(step.commands)
        if step.answer is None:
            return
        # Who only asks may ask again; of other commands only the look at the end is repeated.
        again = step.commands if only_asks(step) else "\n".join(re.findall(r"^story .*", step.commands, re.MULTILINE))
        deadline = time.monotonic() + UP_SECONDS
        while not agree(said, step.answer, numbers_too=numbers_too):
            assert again, f"{step.commands}\nsaid\n{said}\nand not\n{step.answer.text}"
            assert time.monotonic() < deadline, f"{step.commands}\nsaid at last\n{said}\nand not\n{step.answer.text}"
            time.sleep(0.1)
            said = self.type(again)

    def with_ports(self, text: str) -> str:
        """The text with our ports in place of the usual ones."""
        return re.sub(r"(?<=localhost[: ])(-p )?(\d{4})\b", self._port, text)

    def as_written(self, text: str) -> str:
        """The text with the usual ports and places in place of ours."""
        for usual, name in _PORTS.items():
            text = re.sub(rf"\b{self.environ[name]}\b", usual, text)
        return text.replace(str(self._home), "/srv/jobledger")

    def _port(self, found: re.Match[str]) -> str:
        return (found[1] or "") + self.environ[_PORTS[found[2]]]

    def leave(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(UP_SECONDS)
        assert self._bash.stdout is not None
        self._bash.stdout.close()
        if self._service is not None:
            self._service.stop()


def _write_answers(page: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="jobledger-page-") as directory:
        home = Path(directory)
        home.chmod(0o711)  # PostgreSQL runs as another user when root runs this
        reader = Reader(home)
        try:
            reader.start()
            for step in steps_of(page.read_text()):
                said = reader.type(step.commands)
                if step.answer is None or agree(said, step.answer):
                    continue
                said = _settled(reader, step, said) if only_asks(step) else said
                if not agree(said, step.answer):
                    _write_answer(page, step, reader.as_written(said).strip() + "\n")
        finally:
            reader.leave()


def _write_answer(page: Path, step: Step, said: str) -> None:
    assert step.answer is not None
    text = page.read_text()
    begin = text.index(f"```{step.answer.language}\n{step.answer.text}```", text.index(step.commands))
    place = begin + len(f"```{step.answer.language}\n")
    page.write_text(text[:place] + said + text[place + len(step.answer.text) :])


def _settled(reader: Reader, step: Step, said: str) -> str:
    assert step.answer is not None
    while True:
        time.sleep(_SETTLED_SECONDS)
        before, said = said, reader.type(step.commands)
        if agree(said, step.answer._replace(text=before), numbers_too=False):
            return said


if __name__ == "__main__":
    for name in sys.argv[1:]:
        _write_answers(Path(name))
