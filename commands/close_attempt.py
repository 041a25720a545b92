"""Close attempts: what became of their code, as events, in the log exactly once. One append for all that ended together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from commands.attempt import Errored, Outcome, Stopped, Succeeded
from commands.ports import Answer, Append, Appended, Conflict, EventLog, RejectedData
from domain import job as verbs
from domain.events import NewEvent
from domain.job import Job
from domain.retry import RetryPolicy

# Why the worker told the code to stop; None: it did not.
StopReason = Literal["timeout", "cancelled", "released"]


class Ended(Struct, frozen=True):
    """An attempt whose code has ended. `timeout`: the seconds that it had."""

    job: Job  # while it ran
    outcome: Outcome
    stopped_for: StopReason | None
    timeout: float


def decide_closing(
    job: Job, outcome: Outcome, *, stopped_for: StopReason | None, timeout: float, policy: RetryPolicy
) -> list[NewEvent]:
    """The events that close the running attempt of `job`. `timeout`: the seconds that it had, for the error's text.

    What has succeeded is completed even where it was told to stop meanwhile: its effect is there, and running it once more
    would repeat the effect.
    """
    match outcome:
        case Succeeded():
            return verbs.complete(job, result=outcome.result)
        case Stopped() if stopped_for == "timeout":
            text = msgspec.json.encode(f"timed out after {timeout:g} s")
            return verbs.fail(job, outcome="timeout", error=text, policy=policy)
        case Errored() if stopped_for == "timeout":
            # The code was told to stop, and had something to say about it that matters.
            text = msgspec.json.encode(f"timed out after {timeout:g} s; {msgspec.json.decode(outcome.error, type=str)}")
            return verbs.fail(
                job,
                outcome="timeout",
                error=text,
                policy=policy,
                permanent=outcome.permanent,
                retry_after=outcome.retry_after,
            )
        case Stopped() if stopped_for == "released":
            return verbs.release(job)
        case Stopped():
            return verbs.fail(job, outcome="error", error=outcome.error, policy=policy)
        case Errored():
            return verbs.fail(
                job,
                # "lost" keeps the next attempt in a process of its own, too: in the worker it would take its neighbours along.
                outcome="lost" if outcome.died else "error",
                error=outcome.error,
                policy=policy,
                permanent=outcome.permanent,
                retry_after=outcome.retry_after,
            )


async def close_attempts(
    ended: Sequence[Ended], *, policy: RetryPolicy, actor: str, log: EventLog
) -> list[int | Ended]:
    """Append what `decide_closing` says of each. The answers, in order: the position of the event by which this closed
    it; 0, it had been given up and is no longer ours; an Ended: the log wants it closed another way, as this says, by one
    more call.

    Raises Unavailable: nothing is known of any.
    """
    answers = await log.append(
        [
            Append(
                job_id=one.job.id,
                expected=one.job.version,
                events=decide_closing(
                    one.job, one.outcome, stopped_for=one.stopped_for, timeout=one.timeout, policy=policy
                ),
                actor=actor,
            )
            for one in ended
        ]
    )
    return [_after(answer, one) for answer, one in zip(answers, ended, strict=True)]


def _after(answer: Answer, ended: Ended) -> int | Ended:
    match answer:
        case Appended():
            return answer.position
        case Conflict(found_type="CancelRequested") if answer.last_version == ended.job.version + 1:
            # Somebody asked to cancel in this very moment: the closing follows that, one version later.
            job = msgspec.structs.replace(ended.job, version=answer.last_version, state="CancelRequested")
            return msgspec.structs.replace(ended, job=job)
        case RejectedData():
            # The effect is there, and would be again: only its result cannot be kept.
            text = msgspec.json.encode(f"the result cannot be stored: {answer}"[:1000].replace("\0", "\u2400"))
            return msgspec.structs.replace(ended, outcome=Errored(text, permanent=True))
        case _:
            return 0
