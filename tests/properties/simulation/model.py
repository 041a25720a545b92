"""The model beside the real system: a log in memory that is told of every statement, and what was asked, promised and run.

Each answer of the real log must be the model's. What a job is, is the domain's fold of the model's events. The rest are the
expectations of those outside: what was acknowledged is there and ends once, no attempt runs that the log does not know, none
runs twice or beside another one, and nobody is given up without a cause.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from commands.attempt import Errored, Outcome, Stopped, Succeeded
from commands.ports import Answer, Append, Appended, Conflict, RejectedData
from domain.events import Attempted, Cancelled, Completed, Failed, RecordedEvent, Started, type_name
from domain.job import Job, evolve
from tests.fakes.event_log import FakeEventLog
from tests.properties.simulation.gates import Process

T = TypeVar("T")
_TICK = timedelta(milliseconds=1)  # by which the fake log's clock goes on before each batch


class Execution:
    """One run of an attempt's code."""

    def __init__(
        self, *, process: Process, worker: str, job_id: str, attempt: int, payload: bytes, isolated: bool
    ) -> None:
        self.process = process
        self.worker = worker  # the name under which it was claimed
        self.job_id = job_id
        self.attempt = attempt
        self.payload = payload
        self.isolated = isolated
        self.outcome: Outcome | None = None  # what its code became; None: it runs, or died

    @property
    def is_live(self) -> bool:
        """Whether its code runs, and can be seen to."""
        return self.outcome is None and not self.process.is_dead and not self.process.is_stopped

    def __repr__(self) -> str:
        return f"attempt {self.attempt} of {self.job_id} by {self.worker}"


class Model:
    """What must be. `now`: the database's time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.log = FakeEventLog()
        self.jobs: dict[str, Job] = {}
        self.acknowledged: set[str] = set()
        self.cancels_asked: set[str] = set()
        self.mourned: set[str] = set()  # workers that died, were frozen, or left their work behind
        self.executions: list[Execution] = []
        self.alarm: AssertionError | None = (
            None  # raised where a worker takes whatever is raised for an error of its job's code
        )
        self._given: set[int] = set()  # positions of the events of which somebody was told that they are his

    @property
    def events(self) -> list[RecordedEvent]:
        return self.log.events

    def judge_append(self, commands: Sequence[Append], answers: Sequence[Answer]) -> None:
        """A statement of the real log answered so: it must be what the model answers."""
        newest = self.events[-1].recorded_at if self.events else self._now()
        self.log.now = max(self._now(), newest) - _TICK
        known = len(self.events)
        # A statement hears one command a job; of those behind it, it says what was there before.
        jobs = [command.job_id for command in commands]
        is_heard = [job_id not in jobs[:place] for place, job_id in enumerate(jobs)]
        unheard = [self._conflict(command) for command in commands]
        heard = iter(_at_once(self.log.append([c for c, is_one in zip(commands, is_heard, strict=True) if is_one])))
        expected = [next(heard) if is_one else conflict for is_one, conflict in zip(is_heard, unheard, strict=True)]
        for recorded in self.events[known:]:
            self.jobs[recorded.job_id] = evolve(self.jobs.get(recorded.job_id), recorded)
        for command, answer, wanted in zip(commands, answers, expected, strict=True):
            assert _facts(answer) == _facts(wanted), f"{command}: answered {answer}, expected {wanted}"

    def judge_told(self, commands: Sequence[Append], answers: Sequence[Answer]) -> None:
        """Somebody is told that this became of what he wanted to append: each event is given to one command, which made it."""
        for command, answer in zip(commands, answers, strict=True):
            if not isinstance(answer, Appended):
                continue
            there = self.events[answer.position - 1]
            wanted = (command.job_id, command.expected + 1, command.events[0].event, command.actor)
            assert (there.job_id, there.version, there.event, there.actor) == wanted
            assert answer.position not in self._given, f"{there} was given twice"
            self._given.add(answer.position)

    def _conflict(self, command: Append) -> Conflict:
        stream = [e for e in self.events if e.job_id == command.job_id]
        found = stream[command.expected] if command.expected < len(stream) else None
        last = type_name(stream[-1].event) if stream else None
        return Conflict(type_name(found.event) if found else None, len(stream), last)

    def restore(self, position: int) -> None:
        """The database is as it was after that position: what came later is forgotten, promises included."""
        kept = self.events[:position]
        ids = {e.job_id for e in kept}
        before, self.log = self.log, FakeEventLog()
        self.log.workers = before.workers
        self.log.events = kept
        self.log._streams = {job_id: [e for e in kept if e.job_id == job_id] for job_id in ids}
        self.log._keys = {key: used for key, used in before._keys.items() if used.job_id in ids}
        self.jobs = fold_all(kept)
        self.acknowledged &= ids
        self._given &= set(range(position + 1))
        self.executions = [e for e in self.executions if e.attempt <= self._started(e.job_id)]

    def _started(self, job_id: str) -> int:
        return self.jobs[job_id].attempts if job_id in self.jobs else 0

    def judge_beginning(self, execution: Execution) -> None:
        """Code begins to run: the log must say so, and nobody else may be running it."""
        try:
            self._judge_beginning(execution)
        except AssertionError as exc:
            self.alarm = self.alarm or exc
            raise

    def _judge_beginning(self, execution: Execution) -> None:
        stream = [e for e in self.events if e.job_id == execution.job_id]
        started = [e for e in stream if e.event == Started(attempt=execution.attempt, worker=execution.worker)]
        assert started, f"{execution} runs, and the log knows nothing of it"
        assert execution.payload == stream[0].content
        unsuccessful = [e.event for e in stream if isinstance(e.event, (Attempted, Failed, Cancelled))]
        lost = [event.outcome == "lost" for event in unsuccessful]
        ended = [event.attempt for event in unsuccessful]
        after_a_loss = (execution.attempt - 1, True) in zip(ended, lost, strict=True)
        assert execution.isolated >= after_a_loss, f"{execution} follows a lost one, and is not isolated"
        for other in self.executions:
            if other.job_id == execution.job_id:
                assert other.attempt != execution.attempt, f"{execution} runs twice"
                overlaps = other.is_live and other.worker in self.log.workers
                assert not overlaps, f"{execution} runs beside {other}, whose worker is well"
        self.executions.append(execution)

    def judge_row(self, row: Job | None, job_id: str) -> None:
        """Somebody reads the job: never older than the log is."""
        assert row == self.jobs.get(job_id), f"read {row}, the log says {self.jobs.get(job_id)}"

    def judge_table(self, rows: dict[str, Job], checkpoint: int) -> None:
        """The read table is the fold of the log at its checkpoint."""
        by_the_log = fold_all(self.events[:checkpoint])
        assert rows == by_the_log, f"at {checkpoint} jobs is {rows}, by the log {by_the_log}"

    def judge_end(self) -> None:
        """Everything is over: each job ended once, for a reason, and none was invented."""
        assert self.acknowledged <= self.jobs.keys(), "an acknowledged job is gone"
        unended = {job.id: job for job in self.jobs.values() if job.state not in ("Completed", "Failed", "Cancelled")}
        assert not unended, f"jobs that never end: {unended}"
        ran = {(e.job_id, e.attempt): e for e in self.executions}
        for recorded in self.events:
            event = recorded.event
            match event:
                case Completed():
                    outcome = ran[recorded.job_id, event.attempt].outcome
                    assert isinstance(outcome, Succeeded)
                    assert outcome.result == recorded.content
                case Attempted(outcome="lost") | Failed(outcome="lost") | Cancelled(outcome="lost"):
                    assert event.worker in self.mourned, f"{recorded}: that worker was well"
                case Attempted(outcome="error") | Failed(outcome="error"):
                    outcome = ran[recorded.job_id, event.attempt].outcome
                    assert isinstance(outcome, Errored)
                    assert outcome.error == recorded.content
                case Attempted(outcome="timeout") | Failed(outcome="timeout"):
                    assert isinstance(ran[recorded.job_id, event.attempt].outcome, (Errored, Stopped))
                case Cancelled(worker=str()):
                    assert event.worker == recorded.actor, (
                        f"{recorded}: that attempt was lost, and this does not say so"
                    )
                case _:
                    pass
            if isinstance(event, Cancelled):
                assert recorded.job_id in self.cancels_asked, f"{recorded}: nobody asked for that"


def fold_all(events: Sequence[RecordedEvent]) -> dict[str, Job]:
    """The jobs that the events make."""
    jobs: dict[str, Job] = {}
    for recorded in events:
        jobs[recorded.job_id] = evolve(jobs.get(recorded.job_id), recorded)
    return jobs


def _facts(answer: Answer) -> Any:
    match answer:
        case Appended():
            history = [(e.position, e.version, e.event, e.content) for e in answer.history]
            return Appended, answer.position, answer.recorded_at, history
        case RejectedData():
            return RejectedData
        case _:
            return answer


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that never waits answers."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise AssertionError("it waits")
