"""One bash, in which somebody follows a page of the documentation, in tests."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.pages import Step, agree, only_asks
from tests.system.running_up import UP_SECONDS

SETTLED_SECONDS = 3.0  # no job of the pages waits for longer between two attempts


class Terminal:
    """Types what a page says, with ports and words of its own in place of some, and gives the answers as the page has them.

    `ports`: those of the page, each with the one that is used for it. `instead`: words, each with what is typed for it.
    """

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        *,
        ports: Mapping[str, str],
        instead: Mapping[str, str] | None = None,
        command: Sequence[str] = ("bash", "--norc"),
    ) -> None:
        self.home = home
        self._ports = ports
        self._instead = instead or {}
        self._bash = subprocess.Popen(
            command,
            cwd=home,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

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
                return self._as_on_the_page("".join(said))
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

    def settled(self, step: Step) -> str:
        """What a step answers, asked again until that stays as it is. For whoever writes a page."""
        assert step.answer is not None
        said = self.type(step.commands)
        while only_asks(step) and not agree(said, step.answer):
            time.sleep(SETTLED_SECONDS)
            before, said = said, self.type(step.commands)
            if agree(said, step.answer._replace(text=before), numbers_too=False):
                break
        return said

    def with_ports(self, text: str) -> str:
        """The text with our ports in place of the page's."""
        return re.sub(rf"\b({'|'.join(self._ports)})\b", lambda found: self._ports[found[1]], text)

    def leave(self) -> None:
        """End the shell, and wait until it is gone."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(UP_SECONDS)
        assert self._bash.stdout is not None
        self._bash.stdout.close()

    def _as_on_the_page(self, said: str) -> str:
        for usual, ours in self._ports.items():
            said = re.sub(rf"\b{ours}\b", usual, said)
        return said.replace(str(self.home), "/srv/jobledger")
