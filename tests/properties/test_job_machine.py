"""One job's whole life against a model of it: whatever is tried, in any order, at any time.

The model is written from the design, not from the code: a phase and a few numbers. Hypothesis tries verbs in any order;
those that the model forbids must be refused, and the rest must leave the job as the model says and a log without a breach.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct

from domain import job as verbs
from domain.errors import IllegalTransition
from domain.events import Attempted, Cancelled, Completed, Failed, NewEvent, Queued, RecordedEvent, queues_at_once
from domain.job import Job, evolve
from domain.retry import RetryPolicy
from tests.properties.effort import effort
from tests.properties.judging import breaches

POLICY = RetryPolicy(base=1.0, cap=3.0)
ID = "0190f5fe-7c00-7a00-8000-000000000001"
LIVENESS = timedelta(seconds=15)

Phase = Literal["waiting", "queued", "running", "stopping", "completed", "failed", "cancelled"]
STATUS = {
    "waiting": "pending",
    "queued": "pending",
    "running": "processing",
    "stopping": "processing",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
HOLDS_WORKER: tuple[Phase, ...] = ("running", "stopping")
ALLOWED: dict[str, tuple[Phase, ...]] = {
    "wake": ("waiting",),
    "start": ("queued",),
    "complete": HOLDS_WORKER,
    "fail": HOLDS_WORKER,
    "lose": HOLDS_WORKER,
    "release": HOLDS_WORKER,
    "request_cancel": ("waiting", "queued", "running"),
    "cancel": ("waiting", "queued", "stopping"),
    "retry": ("failed", "cancelled"),
}


class Model(Struct):
    """What there is to know about a job."""

    phase: Phase
    maximum: int
    due: datetime | None
    attempts: int = 0
    used: int = 0
    worker: str | None = None
    error: bytes | None = None
    lost: bool = False  # the newest attempt that failed was lost
    result: bytes | None = None


class JobMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
        self.log: list[RecordedEvent] = []
        self.asked: set[float] = set()

    @initialize(
        when=st.sampled_from(["at once", "delay", "runAt"]),
        seconds=st.integers(0, 100_000).map(lambda ms: ms / 1000),
        maximum=st.integers(1, 4),
    )
    def create(self, when: str, seconds: float, maximum: int) -> None:
        at = self.now + timedelta(seconds=seconds)
        events = verbs.create(
            type="T",
            priority="high",
            payload=b"{}",
            max_attempts=maximum,
            delay=seconds if when == "delay" else None,
            run_at=at if when == "runAt" else None,
        )
        waits = when != "at once"
        self.model = Model(phase="waiting" if waits else "queued", maximum=maximum, due=at if waits else None)
        self.job = self._record(None, events, actor="client")

    @rule(seconds=st.sampled_from([0.001, 0.5, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def wake(self) -> None:
        if self._tried("wake", lambda: verbs.wake(self.job), actor="dispatcher", at=self.model.due):
            self.model.phase, self.model.due = "queued", None

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]))
    def start(self, worker: str) -> None:
        if self._tried("start", lambda: verbs.start(self.job, worker=worker), actor=worker):
            self.model.phase, self.model.worker = "running", worker
            self.model.attempts += 1

    @rule()
    def complete(self) -> None:
        if self._tried("complete", lambda: verbs.complete(self.job, result=b"7"), actor=self.model.worker):
            assert isinstance(self.log[-1].event, Completed)
            self._closed("completed")
            self.model.result, self.model.error, self.model.lost = b"7", None, False

    @rule(
        outcome=st.sampled_from(["error", "timeout"]),
        permanent=st.booleans(),
        asked=st.none() | st.integers(0, 5_000).map(lambda ms: ms / 1000),
    )
    def fail(self, outcome: Any, permanent: bool, asked: float | None) -> None:
        if asked is not None:
            self.asked.add(asked)
        worker = self.model.worker
        error = f'"{outcome}"'.encode()

        def decide() -> list[NewEvent]:
            return verbs.fail(
                self.job, outcome=outcome, error=error, policy=POLICY, permanent=permanent, retry_after=asked
            )

        if self._tried("fail", decide, actor=worker):
            self._ended(error, lost=False, permanent=permanent, asked=asked)

    @rule(says_so_itself=st.booleans())
    def lose(self, says_so_itself: bool) -> None:
        actor = self.model.worker if says_so_itself else "dispatcher"
        # The dispatcher gives up nobody who has been heard of within the liveness.
        at = None if says_so_itself or not self.log else self.log[-1].recorded_at + LIVENESS
        if self._tried("lose", lambda: verbs.lose(self.job, policy=POLICY, error=b'"lost"'), actor=actor, at=at):
            self._ended(b'"lost"', lost=True, permanent=False, asked=None)

    @rule()
    def release(self) -> None:
        if self._tried("release", lambda: verbs.release(self.job), actor=self.model.worker):
            if self.model.phase == "stopping":
                self._closed("cancelled")
            else:
                self.model.phase, self.model.worker = "queued", None

    @rule()
    def request_cancel(self) -> None:
        if self._tried("request_cancel", lambda: verbs.request_cancel(self.job), actor="client"):
            if self.model.phase == "running":
                self.model.phase = "stopping"
            else:
                self._closed("cancelled")

    @rule()
    def cancel(self) -> None:
        if self._tried("cancel", lambda: verbs.cancel(self.job), actor="client"):
            self._closed("cancelled")

    @rule()
    def retry(self) -> None:
        if self._tried("retry", lambda: verbs.retry(self.job, reason="once more"), actor="operator"):
            self.model.phase, self.model.used = "queued", 0
            queued = self.log[-1].event
            assert isinstance(queued, Queued)
            assert queued.isolated == self.model.lost

    @invariant()
    def the_job_is_what_the_model_says(self) -> None:
        job, model = self.job, self.model
        assert job.status == STATUS[model.phase]
        assert (job.attempts, job.used, job.max_attempts) == (model.attempts, model.used, model.maximum)
        assert (job.worker, job.due_at) == (model.worker, model.due)
        assert (job.result, job.error) == (model.result, model.error)
        assert (job.outcome == "lost") == model.lost
        assert (job.queued_position is not None) == (model.phase == "queued")
        assert (job.version, job.updated_at) == (self.log[-1].version, self.log[-1].recorded_at)
        assert job.created_at == self.log[0].recorded_at
        if model.phase == "queued":
            queueing = next(e for e in self.log if e.position == job.queued_position)
            assert queues_at_once(queueing.event)

    @invariant()
    def the_log_breaks_no_rule(self) -> None:
        assert breaches(self.log, policy=POLICY, asked_waits=self.asked, liveness=LIVENESS) == []

    def _tried(
        self, verb: str, decide: Callable[[], list[NewEvent]], *, actor: str | None, at: datetime | None = None
    ) -> bool:
        """Whether the verb was allowed, and then recorded; a forbidden one must be refused and changes nothing."""
        if self.model.phase not in ALLOWED[verb]:
            with pytest.raises(IllegalTransition) as refused:
                decide()
            assert refused.value.job_id == ID
            assert refused.value.state == self.job.state
            return False
        if at is not None:
            self.now = max(self.now, at)
        self.job = self._record(self.job, decide(), actor=actor or "")
        return True

    def _ended(self, error: bytes, *, lost: bool, permanent: bool, asked: float | None) -> None:
        """An attempt ended without success."""
        model = self.model
        closing = self.log[-1].event
        if model.phase == "stopping":
            assert closing == Cancelled(attempt=model.attempts, worker=model.worker, outcome="lost" if lost else None)
            if lost:
                model.error, model.lost = error, lost
            self._closed("cancelled")
            return
        model.error, model.lost = error, lost
        if permanent or model.used + 1 >= model.maximum:
            assert isinstance(closing, Failed)
            self._closed("failed")
            return
        assert isinstance(closing, Attempted)
        model.used += 1
        wait = min(3.0, 2.0 ** (model.used - 1)) if asked is None else asked
        model.phase, model.worker, model.due = "waiting", None, self.now + timedelta(seconds=wait)

    def _closed(self, phase: Phase) -> None:
        self.model.phase, self.model.worker, self.model.due = phase, None, None

    def _record(self, job: Job | None, events: list[NewEvent], *, actor: str) -> Job:
        for new in events:
            position = len(self.log) + 1
            recorded = RecordedEvent(position, ID, position, new.event, new.content, actor, self.now)
            self.log.append(recorded)
            job = evolve(job, recorded)
        assert job is not None
        return job


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = effort(quick=120, long=5_000, steps=30)
