"""The README does what it says: its commands run, in order, against a real `jobledger up`, and answer what stands there.

Ports, ids, times and places differ from those on the page, and are left out of the comparison.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from entrypoints.cli import app
from tests.system.running_up import UP_SECONDS, Up, up_environ

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(r"(?:^<!-- (\w+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_PORTS = {"3000": "API_PORT", "8025": "MAIL_UI_PORT", "5433": "POSTGRES_PORT"}

# The output directory comes back once an attempt has failed, and not by the clock: the last attempt follows 3 s after that.
_SLEEP = ("sleep 2\nrm", "until story $job | grep -q Attempted; do sleep 0.1; done\nrm")

# What is different each time, and what stands for it in the comparison.
_MASKS = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d\.\d{3}"), "<time>"),
    (re.compile(r"[\w.-]+-\d+-[0-9a-f]{6}(?=\")"), "<process>"),
    (re.compile(r"(/[^\s\"']+)+/output\b"), "<output>"),
    (re.compile(r"(?<=\"position\": )\d+|(?<=date: ).*|(?<=content-length: )\d+|(?<=\"lagSeconds\":)[\d.]+"), "<…>"),
]


class Block(NamedTuple):
    marker: str
    language: str
    text: str


class Step(NamedTuple):
    """A block of commands, and the block that shows their answer (None: nothing is shown)."""

    commands: str
    answer: Block | None


def steps() -> list[Step]:
    blocks = [Block(*found) for found in _BLOCK.findall(README)]
    by_marker = {block.marker: block for block in blocks if block.marker and block.language != "sh"}
    found = []
    for number, block in enumerate(blocks):
        if block.language == "sh":
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            shown = following if following is not None and following.language != "sh" else by_marker.get(block.marker)
            found.append(Step(block.text.strip(), shown))
    return found


def lines(text: str) -> list[str]:
    for pattern, name in _MASKS:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.strip().splitlines()]


def agree(said: str, shown: Block) -> bool:
    """Whether an answer is the one that is shown. `…` stands for anything."""
    ours, theirs = lines(said), lines(shown.text)
    if shown.marker == "timing":  # when the reader looks is up to the machine: only the shape of the lines is compared
        return {re.sub(r":\w+", ":<…>", line) for line in ours} == {re.sub(r":\w+", ":<…>", line) for line in theirs}
    if shown.marker == "story":  # how often it failed before is up to the machine too
        ours, theirs = list(dict.fromkeys(ours)), list(dict.fromkeys(theirs))
    patterns = [re.escape(line).replace("…", ".*") for line in theirs]
    return len(ours) == len(patterns) and all(map(re.fullmatch, patterns, ours))


class Reader:
    """Somebody who follows the page in a terminal: one bash for all of its commands, and one for `make run`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.environ = up_environ(home)
        self._service: Up | None = None
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=home,
            env=os.environ | {"PATH": path},
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
        commands = self.with_ports(commands).replace(".venv/", f"{shlex.quote(sys.prefix)}/").replace(*_SLEEP)
        self._bash.stdin.write(f"{commands}\necho; echo '<<end>>'\n")
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            if line == "<<end>>\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended: {said}")

    def with_ports(self, text: str) -> str:
        return re.sub(r"(?<=localhost[: ])(-p )?(\d{4})\b", self._port, text)

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


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("readme"))
    yield reader
    reader.leave()


@pytest.mark.timeout(600)
def test_the_tour_goes_as_it_is_shown(reader: Reader) -> None:
    ran = 0
    for commands, answer in steps():
        if commands == "make run":
            reader.start()
            continue
        if commands == "make test":
            continue
        ran += 1
        said = reader.type(commands)
        if answer is None:
            continue
        # Who only asks may ask again; of other commands only the look at the end is repeated.
        again = commands if " -d '" not in commands else "\n".join(re.findall(r"^story .*", commands, re.MULTILINE))
        deadline = time.monotonic() + UP_SECONDS
        while not agree(said, answer):
            assert again, f"{commands}\nsaid\n{said}\nand not\n{answer.text}"
            assert time.monotonic() < deadline, f"{commands}\nsaid at last\n{said}\nand not\n{answer.text}"
            time.sleep(0.1)
            said = reader.type(again)
    assert ran >= 10


def test_every_address_on_this_machine_that_it_names_answers(reader: Reader) -> None:
    named = set(re.findall(r"[<(](http://localhost:\d+[^>)]*)[>)]", README))
    assert len(named) >= 3
    reader.see_that_it_runs()
    for address in sorted(named):
        with urllib.request.urlopen(reader.with_ports(address), timeout=30) as answer:
            assert answer.status == 200, address


def test_the_commands_that_it_names_are_there() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command for command, _ in steps() if command.startswith("make ")} == {"make run", "make test"}
    assert {"run", "test"} <= set(targets)
    named = set(re.findall(r"^\| `jobledger ([\w-]+)`", README, re.MULTILINE)) | {"up"}
    assert named == {name for name in app if not name.startswith("-")}
