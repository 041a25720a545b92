"""Close an attempt: what became of its code, as events, in the log exactly once."""

from __future__ import annotations

from typing import Literal

import msgspec

from commands.attempt import Errored, Outcome, Stopped, Succeeded
from commands.ports import Append, Appended, Conflict, EventLog, RejectedData
from domain import job as verbs
from domain.events import NewEvent
from domain.job import Job
from domain.retry import RetryPolicy

# Why the worker told the code to stop; None: it did not.
StopReason = Literal["timeout", "cancelled", "released"]


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


async def close_attempt(
    job: Job,
    outcome: Outcome,
    *,
    stopped_for: StopReason | None,
    timeout: float,
    policy: RetryPolicy,
    actor: str,
    log: EventLog,
) -> bool:
    """Append what `decide_closing` says; whether this closed the attempt. False: it had been given up, it is no longer ours.

    Raises Unavailable.
    """
    while True:
        events = decide_closing(job, outcome, stopped_for=stopped_for, timeout=timeout, policy=policy)
        [answer] = await log.append([Append(job_id=job.id, expected=job.version, events=events, actor=actor)])
        match answer:
            case Appended():
                return True
            case Conflict(found_type="CancelRequested") if answer.last_version == job.version + 1:
                # Somebody asked to cancel in this very moment: the closing follows that, one version later.
                job = msgspec.structs.replace(job, version=answer.last_version, state="CancelRequested")
            case RejectedData():
                # The effect is there, and would be again: only its result cannot be kept.
                text = msgspec.json.encode(f"the result cannot be stored: {answer}"[:1000].replace("\0", "\u2400"))
                outcome = Errored(text, permanent=True)
            case _:
                return False
