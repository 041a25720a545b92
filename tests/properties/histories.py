"""Random good histories, made by the domain's own verbs: what a log may look like after any amount of work.

Jobs are interleaved; contents are null or any JSON; attempts succeed, fail, time out, are lost and released; jobs are
delayed, cancelled at every moment and retried by hand. Strictly legal: every rule of the log holds, those about time
(waits are respected, nobody is given up early) by the history's own clock. What must not come in: a database.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from hypothesis import strategies as st
from msgspec import Struct

from commands.ports import Append
from domain import job as verbs
from domain.events import NewEvent, RecordedEvent, Started
from domain.job import Job, evolve
from domain.retry import RetryPolicy
from tests.properties.dice import Dice, DrawnDice, SeededDice

POLICY = RetryPolicy(base=1.0, cap=6.0)
LIVENESS = timedelta(seconds=15)  # nobody is given up before he has been silent for so long

_BEGIN = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
_NAMES = ("CSV_EXPORT", "EMAIL_SEND", "größe/☃")
_TAGS: tuple[tuple[str, ...], ...] = ((), ("daily",), ("größe ☃", "a,{b}", "NULL", '"\\'))
_REASONS = (None, "no longer wanted", "zurückgezogen 😀 \"quoted\" \\ '%s'")
_PAUSES = (0.001, 0.0, 0.25, 1.0, 20.0)  # seconds from one command to the next
_DELAYS = (0.0, 0.001, 1.5, 0.1, 60.0, 86_400.123)
_RUN_AT = (
    timedelta(seconds=2),
    timedelta(seconds=-5),  # already over
    timedelta(days=40, microseconds=123_457),
)
ASKED_WAITS = (None, None, 0.0, 0.3, 90.0)  # seconds that a job type asks for; None: as the policy says
_ANY_JSON = (
    b'{"data": [{"id": 1, "name": "venkat"}]}',
    b"null",
    b'""',
    b" [1, 2.50, 1e400, -0] \n",
    '{"naïve": "☃ 😀", "naïve": "twice"}'.encode(),
    b'"\\u0000 \\ud800 \\u00e9"',  # json keeps what text could not hold
    b'{"attempt": 99, "worker": "not this one", "outcome": "lost"}',
    b"[" * 64 + b"]" * 64,
)
_ANY_ERROR = (b'"smtp said no"', '"größer als 😀"'.encode(), b'""', b'"\\u0000"')


class History(Struct, frozen=True):
    """The same story twice: as the commands that tell it, and as the log that they leave.

    `appends[i]` made the next `len(appends[i].events)` of `recorded`; positions begin at 1.
    """

    appends: list[Append]
    recorded: list[RecordedEvent]

    def of_job(self, job_id: str) -> list[RecordedEvent]:
        return [event for event in self.recorded if event.job_id == job_id]

    def job_ids(self) -> list[str]:
        return list(dict.fromkeys(event.job_id for event in self.recorded))


class _Running(Struct):
    """What a worker is known for: whether it lives, and when the log last heard of it."""

    seen_at: datetime
    alive: bool = True


class HistoryMaker:
    """Makes one history, command by command."""

    def __init__(self, dice: Dice, *, jobs: int) -> None:
        self._dice = dice
        self._wanted = jobs
        self._now = _BEGIN
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, _Running] = {}
        self._history = History([], [])

    def make(self, *, commands: int) -> History:
        """Go on for `commands` commands, or until nothing more can happen."""
        for _ in range(commands):
            moves = self._moves()
            if not moves:
                break
            self._dice.pick(moves)()
        return self._history

    def _moves(self) -> list[Callable[[], None]]:
        """What may happen next: a further job, or any verb that some job, picked at random, allows."""
        moves: list[Callable[[], None]] = []
        if len(self._jobs) < self._wanted:
            moves.append(self._create)
        going_on = [job for job in self._jobs.values() if job.state not in ("Completed", "Failed", "Cancelled")]
        closed = [job for job in self._jobs.values() if job.state in ("Failed", "Cancelled")]
        rarely = self._dice.pick((False,) * 5 + (True,))
        if jobs := (closed if rarely or not going_on else going_on):
            moves += self._moves_of(self._dice.pick(jobs))
        return moves

    def _moves_of(self, job: Job) -> list[Callable[[], None]]:
        pick = self._dice.pick
        match job.state:
            case "Created" | "Queued" | "Attempted":
                forward = (lambda: self._wake(job)) if job.due_at is not None else (lambda: self._start(job))
                return [*(forward,) * 6, lambda: self._cancel(job)]
            case "Started" | "CancelRequested":
                moves: list[Callable[[], None]] = [
                    lambda: self._append(job, verbs.complete(job, result=pick(_ANY_JSON)), actor=job.worker),
                    lambda: self._fail(job),
                    lambda: self._fail(job),
                    lambda: self._lose(job),
                    lambda: self._append(job, verbs.release(job), actor=job.worker),
                ]
                if job.state == "Started":
                    moves.append(lambda: self._cancel(job))
                return moves
            case "Failed" | "Cancelled":
                return [lambda: self._append(job, verbs.retry(job, reason=pick(_REASONS)), actor="operator")]
            case _:
                raise AssertionError(f"nothing follows {job.state}")

    def _create(self) -> None:
        pick = self._dice.pick
        number = len(self._jobs) + 1
        # As a version 7 id has it: time first, so a later job sorts later.
        job_id = str(UUID(int=(0x0190F5FE << 96) | (0x7 << 76) | (0x8 << 60) | number))
        when = pick(("at once", "at once", "delay", "runAt"))
        events = verbs.create(
            type=pick(_NAMES),
            priority=pick(("default", "high")),
            payload=pick(_ANY_JSON),
            max_attempts=pick((3, 1, 2)),
            delay=pick(_DELAYS) if when == "delay" else None,
            run_at=self._now + pick(_RUN_AT) if when == "runAt" else None,
            timeout=pick((None, 30.0)),
            tags=_TAGS[number % len(_TAGS)],
        )
        self._record(job_id, None, events, actor="key:shop ☃")

    def _wake(self, job: Job) -> None:
        assert job.due_at is not None
        self._wait_until(job.due_at)
        self._append(job, verbs.wake(job), actor="dispatcher")

    def _start(self, job: Job) -> None:
        living = [name for name, worker in self._workers.items() if worker.alive]
        name = self._dice.pick([*living[-3:], f"worker {len(self._workers) + 1}"])
        self._append(job, verbs.start(job, worker=name), actor=name)

    def _fail(self, job: Job) -> None:
        pick = self._dice.pick
        outcomes: tuple[Literal["error", "timeout"], ...] = ("error", "timeout")
        events = verbs.fail(
            job,
            outcome=pick(outcomes),
            error=pick(_ANY_ERROR),
            policy=POLICY,
            permanent=pick((False, False, False, True)),
            retry_after=pick(ASKED_WAITS),
        )
        self._append(job, events, actor=job.worker)

    def _lose(self, job: Job) -> None:
        """Its worker says itself that it does not run it; or it died, and is given up after a long silence."""
        assert job.worker is not None
        worker = self._workers[job.worker]
        actor = job.worker
        if not worker.alive or self._dice.pick((True, False)):
            worker.alive = False
            self._wait_until(worker.seen_at + LIVENESS)
            actor = "dispatcher"
        self._append(job, verbs.lose(job, policy=POLICY, error=b'"its worker died"'), actor=actor)

    def _cancel(self, job: Job) -> None:
        self._append(job, verbs.request_cancel(job, reason=self._dice.pick(_REASONS)), actor="key:shop ☃")

    def _append(self, job: Job, events: list[NewEvent], *, actor: str | None) -> None:
        assert actor is not None
        self._record(job.id, job, events, actor=actor)

    def _record(self, job_id: str, job: Job | None, events: list[NewEvent], *, actor: str) -> None:
        self._wait_until(self._now + timedelta(seconds=self._dice.pick(_PAUSES)))
        # What is personal may have been erased since, on any event.
        events = [NewEvent(new.event, self._dice.pick((new.content,) * 5 + (None,))) for new in events]
        expected = 0 if job is None else job.version
        self._history.appends.append(Append(job_id, expected, events, actor))
        for offset, new in enumerate(events, start=1):
            recorded = RecordedEvent(
                position=len(self._history.recorded) + 1,
                job_id=job_id,
                version=expected + offset,
                event=new.event,
                content=new.content,
                actor=actor,
                recorded_at=self._now,
            )
            self._history.recorded.append(recorded)
            job = evolve(job, recorded)
            worker = new.event.worker if isinstance(new.event, Started) else actor
            if worker in self._workers:
                self._workers[worker].seen_at = self._now
            elif isinstance(new.event, Started):
                self._workers[worker] = _Running(self._now)
        assert job is not None
        self._jobs[job_id] = job

    def _wait_until(self, moment: datetime) -> None:
        """The log's clock knows whole milliseconds only and never falls."""
        milliseconds = math.ceil(max(timedelta(0), moment - self._now) / timedelta(milliseconds=1))
        self._now += timedelta(milliseconds=milliseconds)


@st.composite
def histories(draw: st.DrawFn, *, jobs: int = 3, commands: int = 30) -> History:
    """Histories of up to `jobs` jobs, small enough to shrink."""
    return HistoryMaker(DrawnDice(draw), jobs=jobs).make(commands=draw(st.integers(0, commands)))


def seeded_history(seed: int, *, jobs: int, commands: int) -> History:
    """One large history, the same for the same seed."""
    return HistoryMaker(SeededDice(seed), jobs=jobs).make(commands=commands)
