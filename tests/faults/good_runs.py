"""Random good runs, made by a model: clients who ask, look, wait, cancel and retry, jobs that live, workers that die or sleep,
followers of the log, and what each leaves.

All that the judge must forgive happens here: answers that are lost on the way, attempts that die before, within and after their
effect, workers that sleep, are given up and go on, mails in doubt. Nothing happens that it must not forgive. Time is the model's.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from commands.ports import Append, IdempotencyKey
from domain import job as verbs
from domain.errors import IllegalTransition
from domain.events import NewEvent, RecordedEvent, encode_data, type_name
from domain.job import Job, evolve
from tests.faults.client_log import Answer, Asked, CommandAnswered, CommandAsked, Got, Line, LoadBegan, Posted
from tests.faults.effects import Effects, Fact, FileFound
from tests.faults.good_followers import followed
from tests.faults.job_mix import USUAL_MIX, JobMix, Wanted, expected_csv
from tests.faults.mail_server import MailTaken
from tests.faults.run_directory import RunDirectory
from tests.faults.stories import ENDS, Story, stories_of
from tests.properties.dice import SeededDice
from tests.properties.histories import POLICY, History

Steps = Generator[float, None, None]  # each step says how many seconds later the next one comes

_BEGIN = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
_APIS = ("http://127.0.0.1:3000", "http://127.0.0.1:3001")
_GIVEN_UP_AFTER = (15.5, 17.0)  # seconds of silence
_AT_ONCE = (*(1,) * 12, 2, 5)  # jobs in a request
_MIX = {**USUAL_MIX, "CSV_EXPORT": 40, "EMAIL_SEND": 40, "refused": 8}

# How an attempt may go, more than once where it shall happen more often.
_FATES = (
    *("done",) * 10,
    *("error", "error", "failed for good", "timeout", "released", "cancelled", "done though cancelled", "stray"),
    *("dies before", "dies within", "dies after", "sleeps within", "sleeps before"),
)
_MORE_FATES = {"EMAIL_SEND": ("in doubt",) * 4}
_ISOLATED_FATES = ("done", "done", "process dies within", "process dies after", "error")
_DIED = b'"the attempt\'s process was killed by SIGKILL before it gave a result"'
_IN_DOUBT = b'"MailInDoubt: in doubt: the whole mail was written, but its answer did not come"'


class GoodRun(Struct):
    """What a run left. May be damaged: nothing in it depends on anything else."""

    history: History = field(default_factory=lambda: History([], []))
    lines: list[Line] = []
    keys: dict[str, str] = {}
    files: dict[str, bytes] = {}
    temporaries: dict[str, bytes] = {}
    mails: list[MailTaken] = []
    facts: list[Fact] = []

    def copy(self) -> GoodRun:
        """Another one with the same content; the history is shared."""
        return GoodRun(
            self.history,
            list(self.lines),
            dict(self.keys),
            dict(self.files),
            dict(self.temporaries),
            list(self.mails),
            list(self.facts),
        )

    def stories(self) -> Iterator[Story]:
        """As they would be read from the log."""
        ordered = sorted(self.history.recorded, key=lambda event: (event.job_id, event.version))
        yield from stories_of(map(_row, ordered))

    def effects(self) -> Effects:
        """As they would be read from the directory."""
        files = {name: FileFound(len(data), hashlib.sha256(data).hexdigest()) for name, data in self.files.items()}
        return Effects(files=files, temporaries=list(self.temporaries), mails=self.mails, facts=self.facts)

    def write(self, run: RunDirectory) -> None:
        """Leave all but the log of events in the directory."""
        for path, lines in ((run.requests(), self.lines), (run.mails, self.mails), (run.tally, self.facts)):
            path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        for name, data in (self.files | self.temporaries).items():
            (run.output / name).write_bytes(data)


class _Body(Struct, frozen=True):
    type: str
    payload: Raw
    priority: Literal["high", "default"] = "default"


class _Life(Struct):
    """A job as the model knows it."""

    job: Job
    asked: Asked
    payload: bytes
    going_on: set[int] = set()  # attempts whose execution holds the lock


def good_run(seed: int, *, jobs: int, clients: int = 3) -> GoodRun:
    """A run with so many jobs asked for, the same for the same seed (but for the ids of its jobs)."""
    return _Model(seed, jobs=jobs, clients=clients).run


class _Model:
    def __init__(self, seed: int, *, jobs: int, clients: int) -> None:
        self.run = GoodRun(lines=[LoadBegan(seed, 0.0, 0.0)])
        self._dice = SeededDice(seed)
        self._seed = seed
        self._now = 0.0
        self._left = jobs
        self._lives: dict[str, _Life] = {}
        self._names = count(1)
        self._reasons = count(1)
        self._numbers = count()
        self._due: list[tuple[float, int, Steps]] = []
        for client in range(clients):
            self._spawn(self._client(client))
        while self._due:
            self._now, _, steps = heapq.heappop(self._due)
            self._go_on(steps)
        self.run.lines += followed(self.run.history.recorded, self._dice)

    def _spawn(self, steps: Steps) -> None:
        self._go_on(steps)

    def _go_on(self, steps: Steps) -> None:
        wait = next(steps, None)
        if wait is not None:
            heapq.heappush(self._due, (self._now + wait, next(self._numbers), steps))

    # Clients

    def _client(self, number: int) -> Steps:
        mix = JobMix(self._seed, number, weights=_MIX)
        watched: list[str] = []
        yield 0.001 * number
        while self._left > 0:
            items = [mix.next() for _ in range(min(self._left, self._dice.pick(_AT_ONCE)))]
            self._left -= len(items)
            self.run.lines += [wanted.asked for wanted in items]
            yield from self._ask(number, items, watched)
            for _ in range(self._dice.pick((0, 1, 2, 5))):
                if watched:
                    yield from self._look(number, self._dice.pick(watched))
                yield self._dice.pick((0.001, 0.01, 1.0))
        for wait in (2.0, 20.0, 100.0):
            yield wait
            for job_id in watched:
                yield from self._look(number, job_id)

    def _ask(self, number: int, items: list[Wanted], watched: list[str]) -> Steps:
        """One request for one job, or for several at once, and its repetitions."""
        for _ in range(4):
            way = self._dice.pick(("ok",) * 8 + ("stored", "cut", "503", "never written down"))
            began, api = self._now, self._dice.pick(_APIS)
            yield 0.001
            replayed = [wanted.asked.key in self.run.keys for wanted in items]
            if way != "503" and way != "cut":
                for wanted in items:
                    if not _is_wrong(wanted):
                        self._store(wanted)
            yield 0.002
            if way == "never written down":
                return  # this load was killed, say
            for wanted, was_there in zip(items, replayed, strict=True):
                answer: Answer = ("refused" if _is_wrong(wanted) else "ok") if way == "ok" else "unknown"
                job_id = self.run.keys[wanted.asked.key] if answer == "ok" else ""
                told = Posted(wanted.asked.key, number, api, began, self._now, answer, job=job_id)
                status = {"ok": 201, "refused": 400, "unknown": 503 if way == "503" else 0}[answer]
                batch = len(items) if len(items) > 1 else 0
                self.run.lines.append(replace(told, status=status, replayed=was_there and answer == "ok", batch=batch))
                if job_id:
                    watched.append(job_id)
            if way == "ok" or self._dice.pick((True, False, False)):
                return
            yield self._dice.pick((0.05, 1.0, 12.0))

    def _look(self, number: int, job_id: str) -> Steps:
        began, waited = self._now, self._dice.pick((0,) * 9 + (1,))
        life = self._lives[job_id]
        yield 0.001
        while life.job.status not in ENDS and self._now < began + waited:
            yield 0.05
        job = life.job
        yield 0.001
        answer: Answer = self._dice.pick(("ok",) * 9 + ("unknown",))
        known = (200, job.version, job.status) if answer == "ok" else (503, 0, "")
        look = Got(job_id, number, self._dice.pick(_APIS), began, self._now, answer, *known)
        self.run.lines.append(replace(look, waited=waited))

    def _commanded(self, life: _Life, command: Literal["cancel", "retry"]) -> bool:
        """Some client cancels or retries it; whether that was done."""
        reason, client = f"{command} {next(self._reasons)}", self._dice.pick((0, 1, 2))
        self.run.lines.append(CommandAsked(reason, command, life.job.id, client))
        way = self._dice.pick(("ok",) * 6 + ("done", "503", "done, and never written down"))
        is_done, status = False, 503 if way == "503" else 0
        if way != "503":
            verb = verbs.request_cancel if command == "cancel" else verbs.retry
            try:
                self._tell(life, verb(life.job, reason=reason), actor="anonymous")
                is_done = True
            except IllegalTransition:
                status = 409
        if way == "done, and never written down":
            return is_done
        answer: Answer = "unknown" if way != "ok" else "ok" if is_done else "refused"
        line = CommandAnswered(
            reason, life.job.id, self._dice.pick(_APIS), self._now, self._now + 0.001, answer, status
        )
        if answer == "ok":
            line = replace(line, status=200, version=life.job.version, state=life.job.status)
        elif way == "done":
            line = replace(line, status=0)
        self.run.lines.append(line)
        return is_done

    # Jobs

    def _store(self, wanted: Wanted) -> None:
        key = wanted.asked.key
        if key in self.run.keys:
            return
        body = msgspec.json.decode(wanted.body, type=_Body)
        job_id = _job_id(self._seed, len(self._lives))
        self.run.keys[key] = job_id
        payload = bytes(body.payload)
        events = verbs.create(type=body.type, priority=body.priority, payload=payload, max_attempts=3)
        idempotency = IdempotencyKey(key, hashlib.sha256(wanted.body).digest())
        job = self._append(job_id, None, events, actor="anonymous", key=idempotency)
        self._lives[job_id] = life = _Life(job, wanted.asked, payload, going_on=set())
        self._spawn(self._live(life))

    def _live(self, life: _Life) -> Steps:
        while True:
            yield self._dice.pick((0.01, 0.3))
            if self._dice.pick((False,) * 20 + (True,)) and self._commanded(life, "cancel"):
                if (yield from self._lives_again(life)):
                    continue
                return
            is_isolated = life.job.outcome == "lost"
            worker = f"worker-{next(self._names)}"
            self._tell(life, verbs.start(life.job, worker=worker), actor=worker)
            fates = _ISOLATED_FATES if is_isolated else _FATES + _MORE_FATES.get(life.job.type, ())
            yield from self._attempt(life, worker, self._dice.pick(fates))
            if life.job.status != "pending":
                if (yield from self._lives_again(life)):
                    continue
                return
            if life.job.due_at is not None:
                yield max(0.0, (life.job.due_at - self._time()).total_seconds()) + 0.01
                self._tell(life, verbs.wake(life.job), actor="dispatcher")

    def _lives_again(self, life: _Life) -> Generator[float, None, bool]:
        """Whether somebody retries it, now that it has ended; once in a while one that is completed, in vain."""
        yield self._dice.pick((0.01, 5.0))
        wanted = (True, False) if life.job.status != "completed" else (True,) + (False,) * 30
        return self._dice.pick(wanted) and self._commanded(life, "retry")

    def _attempt(self, life: _Life, worker: str, fate: str) -> Steps:
        number = life.job.attempts
        yield 0.01
        if fate not in ("dies before", "sleeps before", "stray"):
            self._begin(life, number)
        yield self._dice.pick((0.001, 0.2))
        match fate:
            case "done" | "done though cancelled":
                if fate != "done":
                    self._commanded(life, "cancel")
                result = self._effect(life, number)
                self._end(life, number, "end")
                yield 0.01
                self._tell(life, verbs.complete(life.job, result=result), actor=worker)
            case "error" | "failed for good":
                self._end(life, number, "error")
                yield 0.01
                self._fail(life, "error", b'"ValueError: no"', actor=worker, permanent=fate != "error")
            case "timeout" | "released" | "cancelled":
                if fate == "cancelled":
                    self._commanded(life, "cancel")
                if fate != "released" and self._dice.pick((True, False)):
                    self._effect(life, number)  # stopped a moment after it
                self._end(life, number, "stopped")
                yield 0.01
                if fate == "released":
                    self._tell(life, verbs.release(life.job), actor=worker)
                else:
                    self._fail(life, "timeout", b'"timed out after 1 s"', actor=worker)
            case "in doubt":
                if self._dice.pick((True, False)):
                    self._effect(life, number)
                self._end(life, number, "error")
                self._fail(life, "error", _IN_DOUBT, actor=worker)
            case "stray":
                yield 11.0
                self._fail(life, "lost", b'"its claim was never heard of"', actor=worker)
            case "dies before" | "dies within" | "dies after" | "process dies within" | "process dies after":
                if fate.endswith("after"):
                    self._effect(life, number)
                    self._tally(life, number, "end")
                elif fate.endswith("within") and life.job.type == "CSV_EXPORT":
                    self.run.temporaries[f".jobledger-{life.job.id}-{number}-0123456789abcdef.tmp"] = b"id,na"
                life.going_on.discard(number)
                if self._dice.pick((False, False, True)):
                    self._commanded(life, "cancel")
                if fate.startswith("process"):
                    self._fail(life, "lost", _DIED, actor=worker)
                else:
                    yield self._dice.pick(_GIVEN_UP_AFTER)
                    self._fail(life, "lost", b'"its worker died"', actor="dispatcher")
            case "sleeps before" | "sleeps within":
                self._spawn(self._ghost(life, number, begins=fate == "sleeps before"))
                if self._dice.pick((False, False, True)):
                    self._commanded(life, "cancel")
                yield self._dice.pick(_GIVEN_UP_AFTER)
                self._fail(life, "lost", b'"its worker died"', actor="dispatcher")
            case _:
                raise AssertionError(fate)

    def _ghost(self, life: _Life, number: int, *, begins: bool) -> Steps:
        """An execution whose worker sleeps, and goes on when it has been given up."""
        yield self._dice.pick((18.0, 18.5, 20.0, 60.0))
        if begins:
            self._begin(life, number)
            yield 0.2
        if self._dice.pick((True, False)):
            self._effect(life, number)
            self._end(life, number, "end")
        else:
            self._end(life, number, "stopped")

    def _fail(
        self,
        life: _Life,
        outcome: Literal["error", "timeout", "lost"],
        error: bytes,
        *,
        actor: str,
        permanent: bool = False,
    ) -> None:
        events = verbs.fail(life.job, outcome=outcome, error=error, policy=POLICY, permanent=permanent)
        self._tell(life, events, actor=actor)

    def _tell(self, life: _Life, events: list[NewEvent], *, actor: str) -> None:
        life.job = self._append(life.job.id, life.job, events, actor=actor)

    def _append(
        self,
        job_id: str,
        job: Job | None,
        events: list[NewEvent],
        *,
        actor: str,
        key: IdempotencyKey | None = None,
    ) -> Job:
        expected = 0 if job is None else job.version
        self.run.history.appends.append(Append(job_id, expected, events, actor, key))
        for offset, new in enumerate(events, start=1):
            recorded = RecordedEvent(
                len(self.run.history.recorded) + 1,
                job_id,
                expected + offset,
                new.event,
                new.content,
                actor,
                self._time(),
            )
            self.run.history.recorded.append(recorded)
            job = evolve(job, recorded)
        assert job is not None
        return job

    def _time(self) -> datetime:
        return _BEGIN + timedelta(milliseconds=int(self._now * 1000))

    # Effects

    def _begin(self, life: _Life, number: int) -> None:
        self._tally(life, number, "begin", alone=not life.going_on)
        life.going_on.add(number)

    def _end(self, life: _Life, number: int, what: Literal["end", "error", "stopped"]) -> None:
        self._tally(life, number, what)
        life.going_on.discard(number)

    def _tally(
        self, life: _Life, number: int, what: Literal["begin", "end", "error", "stopped"], *, alone: bool = True
    ) -> None:
        if life.job.type.startswith("TALLIED"):
            self.run.facts.append(Fact(life.job.id, number, what, pid=number, at=self._now, alone=alone))

    def _effect(self, life: _Life, number: int) -> bytes:
        """Do what the job is there for; gives its result."""
        match life.job.type:
            case "CSV_EXPORT":
                rows = msgspec.json.decode(life.payload)["data"]
                data = expected_csv(rows)
                self.run.files[f"{life.job.id}.csv"] = data
                result: dict[str, Any] = {
                    "filePath": f"/output/{life.job.id}.csv",
                    "rows": len(rows),
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
                return msgspec.json.encode(result)
            case "EMAIL_SEND":
                asked = life.asked.mail
                assert asked is not None
                mail = MailTaken(
                    f"<{life.job.id}@localhost>", asked.to, f"content of {life.job.id}", asked.digest, self._now
                )
                self.run.mails.append(mail)
                return msgspec.json.encode({"messageId": mail.message_id, "accepted": asked.to, "response": "250 ok"})
            case _:
                return b'"done"'


def _is_wrong(wanted: Wanted) -> bool:
    return wanted.asked.type not in USUAL_MIX or wanted.asked.priority not in ("high", "default")


def _job_id(seed: int, number: int) -> str:
    # Time first, as in version 7: a later job sorts later.
    digest = hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()
    return f"0190{number >> 16:04x}-{number & 0xFFFF:04x}-7{digest[:3]}-8{digest[3:6]}-{digest[6:18]}"


def _row(event: RecordedEvent) -> tuple[Any, ...]:
    content = None if event.content is None else event.content.decode()
    kind = type_name(event.event)
    if kind == "Created" and content is not None:
        content = hashlib.sha256(content.encode()).hexdigest()
    return event.job_id, event.position, kind, event.actor, encode_data(event.event), content
