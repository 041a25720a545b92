"""Follow pages of the documentation and write what was really answered into them, where that is not what they show.

python -m tests.system.write_answers docs/auditing.md docs/runbook.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.system.operator import Operator
from tests.system.pages import Step, agree, steps_of
from tests.system.reader import Reader
from tests.system.terminal import Terminal

RUNBOOK = "runbook.md"  # goes on machines of one's own, and not on `make run`


def write_answers(page: Path) -> None:
    """Rewrite the page's answers."""
    with tempfile.TemporaryDirectory(prefix="jobledger-page-") as directory:
        home = Path(directory)
        home.chmod(0o711)  # PostgreSQL runs as another user when root runs this
        terminal: Terminal = Operator(home) if page.name == RUNBOOK else Reader(home)
        try:
            if isinstance(terminal, Reader):
                terminal.start()
            for step in steps_of(page.read_text()):
                _write_answer(page, step, terminal)
        finally:
            terminal.leave()


def _write_answer(page: Path, step: Step, terminal: Terminal) -> None:
    if step.answer is None:
        terminal.type(step.commands)
        return
    said = terminal.settled(step)
    if agree(said, step.answer):
        return
    text = page.read_text()
    opening = f"```{step.answer.language}\n"
    begin = text.index(f"{opening}{step.answer.text}```", text.index(step.commands)) + len(opening)
    page.write_text(text[:begin] + said.strip() + "\n" + text[begin + len(step.answer.text) :])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_answers(Path(name))
