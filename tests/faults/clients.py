"""C1 to C5: what clients were promised, judged from their own log against the stories of the log of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tests.faults.client_log import Asked, Got, Line, LoadBegan, Posted
from tests.faults.stories import Story
from tests.faults.verdict import Figures, Findings


class _Ask(Struct):
    """What was asked under one key, and what became of it."""

    asked: Asked
    acked: str = ""  # the id in the 2xx answers
    refused: bool = False
    unknown: bool = False  # some request for it has no clear answer
    stored: str = ""  # the job in the log that this one is


class ClientsJudge:
    """Takes the clients' lines, then each story once, then says what is left over. Figures and findings are filled on the way."""

    def __init__(self, lines: Iterable[Line], keys: Mapping[str, str], *, figures: Figures, findings: Findings) -> None:
        self._figures = figures
        self._findings = findings
        self._asks: dict[str, _Ask] = {}
        self._of_job: dict[str, _Ask] = {}
        self._of_payload: dict[str, _Ask] = {}
        self._seen: dict[str, list[Got]] = {}
        self._there_at: dict[str, float] = {}  # when the first 2xx for a job had been received
        self._unasked_keys: list[str] = []
        posted: list[Posted] = []
        for line in lines:
            match line:
                case LoadBegan():
                    figures.seed = line.seed
                case Asked():
                    self._asks[line.key] = self._of_payload[line.payload] = _Ask(line)
                case Posted():
                    posted.append(line)
                case Got():
                    self._seen.setdefault(line.job, []).append(line)
        figures.attempts = len(self._asks)
        answered = set()
        for one in posted:
            self._note(self._asks[one.key], one)
            answered.add(one.key)
        for key, ask in self._asks.items():
            # Its load was killed before it could write down the answer.
            ask.unknown |= key not in answered
        for key, job_id in keys.items():
            if key in self._asks:
                self._of_job.setdefault(job_id, self._asks[key])
        figures.acked = sum(1 for ask in self._asks.values() if ask.acked)

    def expected(self, story: Story) -> Asked | None:
        """What was asked for by whoever asked for this job."""
        ask = self._find(story)
        return None if ask is None else ask.asked

    def judge(self, story: Story) -> None:
        """One job of the log."""
        ask = self._find(story)
        if ask is None:
            self._unexpected("C2", story, "nobody asked for this job")
        elif ask.stored:
            self._unexpected("C3", story, f"the key {ask.asked.key} has another job, {ask.stored}")
        elif not ask.acked and not ask.unknown:
            self._unexpected("C2", story, f"this job was refused when it was asked for by {ask.asked.key}")
        else:
            ask.stored = story.job_id
            if not ask.acked:
                self._figures.recovered += 1
            self._compare(story, ask.asked)
        if seen := self._seen.pop(story.job_id, None):
            self._judge_looks(story, seen)

    def finish(self) -> None:
        """What no story told of."""
        for ask in self._asks.values():
            if ask.acked and ask.stored != ask.acked:
                if ask.stored:
                    continue  # told as C3 where the answers were noted, or where the second job was met
                self._figures.lost += 1
                self._findings.add("C1", ask.acked, f"was answered with 2xx to {ask.asked.key}, and is not in the log")
        for job_id, looks in self._seen.items():
            if job_id not in self._there_at:
                self._findings.add("C5", job_id, f"was asked for {len(looks)} times, but is no job of the log")

    def _note(self, ask: _Ask, posted: Posted) -> None:
        match posted.answer:
            case "ok":
                if ask.acked and ask.acked != posted.job:
                    self._findings.add(
                        "C3", posted.key, f"was answered with the job {ask.acked}, and with {posted.job}"
                    )
                ask.acked = ask.acked or posted.job
                self._of_job[posted.job] = ask
                self._there_at[posted.job] = min(posted.ended, self._there_at.get(posted.job, posted.ended))
            case "refused":
                ask.refused = True
            case "unknown":
                ask.unknown = True

    def _find(self, story: Story) -> _Ask | None:
        return self._of_job.get(story.job_id) or self._of_payload.get(story.payload)

    def _unexpected(self, check: str, story: Story, sentence: str) -> None:
        self._figures.unexpected += 1
        self._findings.add(check, story.job_id, sentence)

    def _compare(self, story: Story, asked: Asked) -> None:
        if story.payload and story.payload != asked.payload:
            self._findings.add("C4", story.job_id, f"holds another payload than {asked.key} sent")
        if (story.type, story.priority) != (asked.type, asked.priority):
            self._findings.add(
                "C4", story.job_id, f"is {story.type}, {story.priority}: sent was {asked.type}, {asked.priority}"
            )

    def _judge_looks(self, story: Story, looks: list[Got]) -> None:
        looks.sort(key=lambda look: look.ended)
        there_at = self._there_at.get(story.job_id)
        newest: list[tuple[float, int]] = []  # when an answer had come, and the highest version seen by then
        ended: tuple[float, str] | None = None
        for look in sorted(looks, key=lambda look: look.began):
            if look.answer == "refused":
                if there_at is not None and look.began >= there_at:
                    self._findings.add("C5", story.job_id, f"answered {look.status} after it had been accepted")
                continue
            if look.answer == "unknown":
                continue
            known = max((version for at, version in newest if at <= look.began), default=0)
            if look.version < known:
                self._findings.add("C5", story.job_id, f"showed version {look.version} after version {known}")
            newest.append((look.ended, look.version))
            if ended is not None and look.began >= ended[0] and look.state != ended[1]:
                self._figures.resurrected += 1
                self._findings.add("C5", story.job_id, f"was {ended[1]}, and then {look.state}")
            elif ended is None and look.state in ("completed", "failed", "cancelled"):
                ended = (look.ended, look.state)
            if look.version > len(story.states):
                self._findings.add(
                    "C5", story.job_id, f"showed version {look.version}, but the log ends with {len(story.states)}"
                )
            elif look.state != (held := story.states[look.version - 1]):
                self._findings.add(
                    "C5", story.job_id, f"showed version {look.version} as {look.state}, but the log says {held}"
                )
