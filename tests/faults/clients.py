"""C1 to C5: what clients were promised of jobs, judged from their own log against the stories of the log of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from operator import attrgetter

from msgspec import Struct

from tests.faults.client_log import Asked, CommandAnswered, Got, Line, LoadBegan, Posted
from tests.faults.stories import ENDS, Story
from tests.faults.verdict import Figures, Findings

_Look = Got | CommandAnswered
_ended = attrgetter("ended")
_LATE = 0.5  # seconds that an answer may take from the database to the client, who is told what held before


class _Ask(Struct):
    """What was asked under one key, and what became of it."""

    asked: Asked
    acked: list[str] = []  # the ids in the 2xx answers: one, if all is well
    unknown: bool = False  # some request for it has no clear answer
    stored: list[str] = []  # the jobs in the log that it became: one at the most, if all is well


class ClientsJudge:
    """Takes the clients' lines, then each story once, then says what is left over. Figures and findings are filled on the way."""

    def __init__(self, lines: Iterable[Line], keys: Mapping[str, str], *, figures: Figures, findings: Findings) -> None:
        self._figures = figures
        self._findings = findings
        self._asks: dict[str, _Ask] = {}
        self._of_job: dict[str, _Ask] = {}
        self._of_payload: dict[str, _Ask] = {}
        self._seen: dict[str, list[_Look]] = {}
        self._there_at: dict[str, float] = {}  # when the first 2xx for a job had been received
        posted: list[Posted] = []
        for line in lines:
            match line:  # the most frequent first
                case Got():
                    figures.waited += line.waited > 0 and line.answer == "ok"
                    self._seen.setdefault(line.job, []).append(line)
                case Posted():
                    posted.append(line)
                case CommandAnswered():
                    if line.answer == "ok":  # it shows the job, as a look does
                        self._seen.setdefault(line.job, []).append(line)
                case Asked():
                    self._asks[line.key] = self._of_payload[line.payload] = _Ask(line, acked=[], stored=[])
                case LoadBegan():
                    figures.seed = line.seed or figures.seed  # 0: a test's own requests, beside a load
        figures.attempts = len(self._asks)
        answered, batched = set(), set()
        for one in posted:
            self._note(self._asks[one.key], one)
            answered.add(one.key)
            if one.batch:
                batched.add(one.key)
        figures.batched = len(batched)
        for key, ask in self._asks.items():
            # Its load was killed before it could write down the answer.
            ask.unknown |= key not in answered
        for key, job_id in keys.items():
            if key in self._asks:
                self._of_job.setdefault(job_id, self._asks[key])
        figures.acked = sum(1 for ask in self._asks.values() if ask.acked)

    def judge(self, story: Story) -> Asked | None:
        """One job of the log; gives what was asked for, if this job is the one that was asked for."""
        if looks := self._seen.pop(story.job_id, None):
            self._judge_looks(story, looks)
        ask = self._find(story)
        if ask is None:
            self._unexpected("C2", story, "nobody asked for this job")
            return None
        if not ask.acked and not ask.unknown:
            self._unexpected("C2", story, f"this job was refused when it was asked for by {ask.asked.key}")
            return None
        others, ask.stored = ask.stored, [*ask.stored, story.job_id]
        if others or (ask.acked and story.job_id not in ask.acked):
            self._unexpected("C3", story, f"the key {ask.asked.key} has another job, {(others or ask.acked)[0]}")
            return None
        if not ask.acked:
            self._figures.recovered += 1
        self._compare(story, ask.asked)
        return ask.asked

    def finish(self) -> None:
        """What no story told of."""
        for ask in self._asks.values():
            for job_id in ask.acked:
                if job_id not in ask.stored:
                    self._figures.lost += 1
                    self._findings.add("C1", job_id, f"was answered with 2xx to {ask.asked.key}, and is not in the log")

    def _note(self, ask: _Ask, posted: Posted) -> None:
        match posted.answer:
            case "ok":
                if posted.job not in ask.acked:
                    ask.acked.append(posted.job)
                    if len(ask.acked) > 1:
                        self._findings.add("C3", posted.key, f"was answered with the jobs {' and '.join(ask.acked)}")
                self._of_job[posted.job] = ask
                self._there_at[posted.job] = min(posted.ended, self._there_at.get(posted.job, posted.ended))
            case "unknown":
                ask.unknown = True
            case "refused":
                pass  # so it must have left no job, unless another answer was none

    def _find(self, story: Story) -> _Ask | None:
        return self._of_job.get(story.job_id) or self._of_payload.get(story.payload)

    def _unexpected(self, check: str, story: Story, sentence: str) -> None:
        self._figures.unexpected += 1
        self._findings.add(check, story.job_id, sentence)

    def _compare(self, story: Story, asked: Asked) -> None:
        if story.payload != asked.payload:
            what = "another payload than" if story.payload else "no payload any more of what"
            self._findings.add("C4", story.job_id, f"holds {what} {asked.key} sent")
        if (story.type, story.priority) != (asked.type, asked.priority):
            self._findings.add(
                "C4", story.job_id, f"is {story.type}, {story.priority}: sent was {asked.type}, {asked.priority}"
            )

    def _judge_looks(self, story: Story, looks: list[_Look]) -> None:
        """Against all that anybody had been answered before the look began: there is one log, and no answer may be older."""
        looks.sort(key=_read_after)
        answered = sorted(looks, key=_ended)
        there_at = self._there_at.get(story.job_id, inf)
        known = heard = 0
        end: _Look | None = None  # the newest
        for look in looks:
            while heard < len(answered) and (earlier := answered[heard]).ended <= _read_after(look):
                if earlier.answer == "ok":
                    known = max(known, earlier.version)
                    if earlier.state in ENDS and (end is None or earlier.version > end.version):
                        end = earlier
                heard += 1
            if look.answer == "ok":
                self._judge_look(story, look, known=known, end=end)
            elif look.answer == "refused" and (known or there_at <= look.began):
                self._findings.add("C5", story.job_id, f"answered {look.status} after it had been there")

    def _judge_look(self, story: Story, look: _Look, *, known: int, end: _Look | None) -> None:
        is_over = end is not None and not story.goes_on_after(end.version, by=look.version)
        if end is not None and is_over and look.state != end.state:
            self._figures.resurrected += 1
            self._findings.add("C5", story.job_id, f"was {end.state}, and then {look.state}")
        elif look.version < known:
            self._findings.add("C5", story.job_id, f"showed version {look.version} after version {known}")
        elif look.version > len(story.states):
            self._findings.add(
                "C5", story.job_id, f"showed version {look.version}, but the log ends with {len(story.states)}"
            )
        elif look.state != (held := story.states[look.version - 1]):
            self._findings.add(
                "C5", story.job_id, f"showed version {look.version} as {look.state}, but the log says {held}"
            )


def _read_after(look: _Look) -> float:
    """The moment after which the answer was read from the log, at the earliest."""
    if isinstance(look, Got) and look.state not in ENDS and look.ended - look.began >= look.waited:
        # It waited in vain for all that time, so the job was looked at when that was up.
        return max(look.began, look.began + look.waited - _LATE)
    return look.began  # an API that is told to stop answers at once
