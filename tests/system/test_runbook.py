"""docs/runbook.md does what it says: somebody follows it on machines of his own, from top to bottom.

Here all of them are this one, and shell functions stand in for systemd; the servers and processes are real.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.operator import Operator
from tests.system.pages import ROOT, steps_of

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.mark.timeout(600)  # a minute on a machine that has nothing else to do
def test_the_runbook_goes_as_it_is_shown(server_home: Path) -> None:
    home = server_home / "runbook"
    home.mkdir(mode=0o711)
    steps = steps_of((ROOT / "docs" / "runbook.md").read_text())
    assert sum(step.answer is not None for step in steps) >= 15
    operator = Operator(home)
    try:
        for step in steps:
            operator.follow(step)
    finally:
        operator.leave()
