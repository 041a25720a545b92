"""E3: executions of one job do not overlap, unless the earlier worker had been given up, and such a worker begins nothing more.

Each execution belongs to a Started, and a job type that tallies is not completed without one.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.effects import Effects, Fact
from tests.faults.stories import Attempt, Story
from tests.faults.verdict import Figures, Findings

_TALLIED = "TALLIED"  # how the names of the types begin that tally: fault_jobs.py


class ExecutionsJudge:
    """Takes each story once, then says what belongs to none."""

    def __init__(self, effects: Effects, *, figures: Figures, findings: Findings) -> None:
        self._figures = figures
        self._findings = findings
        self._facts: dict[str, list[Fact]] = {}
        for fact in effects.facts:
            self._facts.setdefault(fact.job, []).append(fact)
        self._given_up_at: dict[str, int] = {}  # worker to the position at which others began to close its attempts
        self._last_started: dict[str, tuple[int, str]] = {}  # worker to its last Started, and the job of that

    def judge(self, story: Story) -> None:
        """One job."""
        for attempt in story.attempts:
            self._note_worker(story, attempt)
        facts = self._facts.pop(story.job_id, [])
        is_tallied = story.is_completed and story.type.startswith(_TALLIED)
        if not facts and not is_tallied:
            return
        attempts = {attempt.number: attempt for attempt in story.attempts}
        begun: dict[int, Fact] = {}
        ended: dict[int, Fact] = {}
        for fact in sorted(facts, key=lambda fact: fact.at):
            if fact.what != "begin":
                ended[fact.attempt] = fact
                continue
            if fact.attempt in begun:
                self._find(story, f"its attempt {fact.attempt} was executed twice")
            elif fact.attempt not in attempts:
                self._find(story, f"was executed as attempt {fact.attempt}, which never started")
            begun[fact.attempt] = fact
        self._figures.executions += len(begun)
        self._figures.duplicate_effects += max(0, sum(1 for fact in ended.values() if fact.what == "end") - 1)
        for fact in begun.values():
            self._judge_overlap(story, fact, begun, ended, attempts)
        if is_tallied:
            last = story.attempts[-1].number if story.attempts else 0
            if last not in ended or ended[last].what != "end":
                self._find(story, f"was completed by attempt {last}, which never came to its end")

    def finish(self) -> None:
        """What belongs to no job, and workers that began something after they had been given up."""
        for job_id, facts in self._facts.items():
            self._figures.executions += sum(1 for fact in facts if fact.what == "begin")
            self._findings.add("E3", job_id, "was executed, but is not in the log")
        for worker, at in self._given_up_at.items():
            position, job_id = self._last_started.get(worker, (0, ""))
            if position > at:
                self._findings.add(
                    "E3", job_id, f"was started at {position} by worker {worker}, which had been given up at {at}"
                )

    def _judge_overlap(
        self,
        story: Story,
        fact: Fact,
        begun: Mapping[int, Fact],
        ended: Mapping[int, Fact],
        attempts: Mapping[int, Attempt],
    ) -> None:
        """Whether `fact`, a beginning, came while another execution of the job went on that had not been given up."""
        before = [number for number, other in begun.items() if number != fact.attempt and other.at <= fact.at]
        going_on = [number for number in before if number in ended and ended[number].at > fact.at]
        if fact.alone and not going_on:
            return
        self._figures.overlapping += 1
        # Of two, the later attempt is right if the earlier one had been given up, whichever of them began first.
        wrong = [number for number in going_on if not _given_up(attempts, min(number, fact.attempt))]
        if not going_on:
            # The lock was held by one that never told its end. Which one, nobody knows: one that was given up, if there is one.
            silent = [number for number in before if number not in ended] or before
            if not any(_given_up(attempts, min(number, fact.attempt)) for number in silent):
                wrong = silent or [0]
        if wrong:
            self._find(story, f"attempt {fact.attempt} began while attempt {wrong[0]} went on")

    def _note_worker(self, story: Story, attempt: Attempt) -> None:
        if attempt.was_given_up and attempt.actor != attempt.worker:
            at = self._given_up_at.get(attempt.worker, attempt.closed)
            self._given_up_at[attempt.worker] = min(at, attempt.closed)
        if attempt.started > self._last_started.get(attempt.worker, (0, ""))[0]:
            self._last_started[attempt.worker] = (attempt.started, story.job_id)

    def _find(self, story: Story, sentence: str) -> None:
        self._findings.add("E3", story.job_id, sentence)


def _given_up(attempts: Mapping[int, Attempt], number: int) -> bool:
    return number in attempts and attempts[number].was_given_up
