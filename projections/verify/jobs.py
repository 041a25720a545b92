"""One job's stream (S1 to S5, A1 to A7): why an event that breaks a rule does. The rules themselves are one statement."""

from __future__ import annotations

from collections.abc import Iterator

from projections.verify.checks import Violation
from projections.verify.ports import BrokenEvent, Unreadable


def judge_event(event: BrokenEvent) -> Iterator[Violation]:
    """A violation for each rule that the event breaks."""
    for check in event.broken:
        yield Violation(
            check=check,
            job_id=event.job_id,
            version=event.version,
            position=event.position,
            sentence=_why(check, event),
        )


def judge_unreadable(event: Unreadable) -> Violation:
    """An event that nobody can read; its job is left out of the other checks."""
    return Violation(
        check="S5",
        job_id=event.job_id,
        version=event.version,
        position=event.position,
        sentence=f"cannot be read: {event.problem}",
    )


def _why(check: str, event: BrokenEvent) -> str:
    facts = event.facts
    this, before = event.type, facts.type1 or "nothing"
    match check:
        case "S1" if event.version != facts.place:
            return f"version {event.version} is the event number {facts.place} of its job"
        case "S1":
            return f"the version before it has the later position {facts.position1}"
        case "S2":
            return f"the first event is {this}, not Created" if facts.place == 1 else "Created is not the first event"
        case "S4" if before != "Completed" and this == "Queued":
            return f"the Queued of a manual retry begins with {facts.used} attempts used, not 0"
        case "S3" | "S4" | "A6":
            return f"{this} follows {before}"
        case "A1" if this == "Started":
            return f"Started says attempt {facts.attempt}, but it is number {facts.starts}"
        case "A1":
            return f"{this} says that attempt {facts.attempt} is next, but number {facts.starts + 1} is"
        case "A2" if facts.started_attempt is None and facts.attempt is None:
            return f"{this} says that an attempt was {facts.outcome}, but none runs"
        case "A2" if facts.started_attempt is None:
            return f"{this} closes attempt {facts.attempt} of worker {facts.worker}, but none runs"
        case "A2":
            return (
                f"{this} closes attempt {facts.attempt} of worker {facts.worker},"
                f" but attempt {facts.started_attempt} of worker {facts.started_worker} runs"
            )
        case "A3" if this == "Started":
            return f"attempt {facts.counted} that counts begins, but the maximum is {facts.maximum}"
        case "A3":
            return f"{this} says that {facts.used} attempts count, but {facts.counted} do"
        case "A4":
            return f"started at {facts.recorded_at}, but its wait is over at {facts.due}"
        case "A5" if this == "Attempted":
            return f"another attempt follows, but {facts.counted} of {facts.maximum} are used"
        case "A5":
            return f"no other attempt follows, but only {facts.counted} of {facts.maximum} are used, and it is not permanent"
        case "A7":
            says = "0" if facts.outcome == "released" else f"{facts.policy_wait:g}"
            return f"waits {facts.wait} s after the outcome {facts.outcome}, but the policy says {says} s"
        case _:
            raise ValueError(f"no sentence for {check}")
