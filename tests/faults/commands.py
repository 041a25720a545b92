"""C6: cancels and retries, judged from what clients asked and were answered against the reasons in the log of events."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tests.faults.client_log import CommandAnswered, CommandAsked, Line
from tests.faults.stories import Story
from tests.faults.verdict import Figures, Findings

_COMES_OF = {"cancel": ("CancelRequested", "Cancelled"), "retry": ("Queued",)}


class _Command(Struct):
    asked: CommandAsked
    answered: CommandAnswered | None = None  # None: its load was killed before it could write down the answer
    versions: list[int] = []  # of its events in the log: one at the most, if all is well

    @property
    def is_acked(self) -> bool:
        return self.answered is not None and self.answered.answer == "ok"


class CommandsJudge:
    """Takes each story once, then says what is left over. What was asked without a reason is nobody's."""

    def __init__(self, lines: Iterable[Line], *, figures: Figures, findings: Findings) -> None:
        self._findings = findings
        self._commands: dict[str, _Command] = {}
        for line in lines:
            match line:
                case CommandAsked():
                    self._commands[line.reason] = _Command(line, versions=[])
                case CommandAnswered():
                    self._commands[line.reason].answered = line
        acked = [one.asked.command for one in self._commands.values() if one.is_acked]
        figures.cancels, figures.retries = acked.count("cancel"), acked.count("retry")

    def judge(self, story: Story) -> None:
        """One job."""
        for version, reason in story.reasons:
            _, event = story.events[version - 1]
            command = self._commands.get(reason)
            if command is None:
                self._find(story, f"{event} has a reason that nobody gave: {reason}")
                continue
            command.versions.append(version)
            self._compare(story, version, event, command)

    def finish(self) -> None:
        """What no story told of."""
        for reason, command in self._commands.items():
            if command.is_acked and not command.versions:
                self._findings.add(
                    "C6", command.asked.job, f"the {reason} was answered with 2xx, and is not in the log"
                )

    def _compare(self, story: Story, version: int, event: str, command: _Command) -> None:
        asked, answered = command.asked, command.answered
        if len(command.versions) > 1:
            self._find(story, f"the {asked.reason} was done twice")
        elif asked.job != story.job_id or event not in _COMES_OF[asked.command]:
            self._find(story, f"the {asked.reason}, asked of {asked.job}, became {event}")
        elif answered is not None and answered.answer == "refused":
            self._find(story, f"the {asked.reason} was refused with {answered.status}, and was done")
        elif answered is not None and answered.answer == "ok" and answered.version != version:
            self._find(story, f"the {asked.reason} was answered with version {answered.version}, and is {version}")

    def _find(self, story: Story, sentence: str) -> None:
        self._findings.add("C6", story.job_id, sentence)
