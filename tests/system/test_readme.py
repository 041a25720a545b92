"""The README does what it says: its commands run, in order, against a real `jobledger up`, and answer what stands there.

Ports, ids, times and places differ from those on the page, and are left out of the comparison.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import pytest

from entrypoints.cli import whole_app
from tests.system.pages import ROOT, steps_of
from tests.system.reader import Reader

pytestmark = pytest.mark.usefixtures("unmeasured")

README = (ROOT / "README.md").read_text()

# The output directory comes back once an attempt has failed, and not by the clock: the last attempt follows 3 s after that.
_SLEEP = {"sleep 2\nrm": "until story $job | grep -q Attempted; do sleep 0.1; done\nrm"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("readme"), instead=_SLEEP)
    yield reader
    reader.leave()


@pytest.mark.timeout(600)
def test_the_tour_goes_as_it_is_shown(reader: Reader) -> None:
    ran = 0
    for step in steps_of(README):
        if step.commands == "make run":
            reader.start()
        elif step.commands != "make test":
            reader.follow(step)
            ran += 1
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
    assert {step.commands for step in steps_of(README) if step.commands.startswith("make ")} == {
        "make run",
        "make test",
    }
    assert {"run", "test"} <= set(targets)
    named = set(re.findall(r"^\| `jobledger ([\w-]+)`", README, re.MULTILINE)) | {"up"}
    assert named == {name for name in whole_app() if not name.startswith("-")}
