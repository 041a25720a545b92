"""Claim jobs: whoever appends Started first owns the attempt. One round trip for a whole batch of entries."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from commands.ports import Append, Appended, EventLog, QueueEntry, Refused
from domain.events import Created, NewEvent, Queued, RecordedEvent, Started
from domain.job import Job, evolve, fold


class ClaimedAttempt(Struct, frozen=True):
    """An attempt that this worker owns, with all that running and closing it takes."""

    job: Job  # after Started
    payload: bytes  # JSON; "null" where the content was erased
    timeout: float | None  # seconds, as the caller set it
    isolated: bool  # to be run in a process of its own: the attempt before was lost
    position: int = 0  # of its Started
    trace: str | None = None  # of the request that created the job
    waited: float | None = None  # seconds since its job was queued; None: the claim does not say when that was


class Claims(Struct, frozen=True):
    """What became of a batch of entries: `settled` need no more reading, `refused` belong to whoever is alive."""

    attempts: list[ClaimedAttempt]
    settled: list[QueueEntry]
    refused: list[QueueEntry]


async def claim_jobs(entries: Sequence[QueueEntry], *, worker: str, log: EventLog) -> Claims:
    """Append Started for each entry. An entry whose job has moved on is settled: somebody else had it. Raises Unavailable."""
    answers = await log.append(
        [
            Append(
                job_id=entry.job_id,
                expected=entry.version,
                events=(NewEvent(Started(attempt=entry.attempt, worker=worker)),),
                actor=worker,
            )
            for entry in entries
        ]
    )
    claims = Claims([], [], [])
    for entry, answer in zip(entries, answers, strict=True):
        if isinstance(answer, Refused):
            claims.refused.append(entry)
            continue
        claims.settled.append(entry)
        if isinstance(answer, Appended):
            started = RecordedEvent(
                position=answer.position,
                job_id=entry.job_id,
                version=entry.version + 1,
                event=Started(attempt=entry.attempt, worker=worker),
                content=None,
                actor=worker,
                recorded_at=answer.recorded_at,
            )
            claims.attempts.append(_attempt(answer.history, started))
    return claims


def _attempt(history: Sequence[RecordedEvent], started: RecordedEvent) -> ClaimedAttempt:
    # Created and the newest Queued make a whole job: what lies between them, the Queued repeats.
    queued = fold(history)
    created = history[0].event
    queueing = history[-1].event
    assert queued is not None
    assert isinstance(created, Created)
    assert isinstance(queueing, Created | Queued)
    return ClaimedAttempt(
        job=evolve(queued, started),
        payload=history[0].content or b"null",
        timeout=created.timeout,
        isolated=isinstance(queueing, Queued) and queueing.isolated,
        position=started.position,
        trace=created.trace,
        # Of a Queued the claim tells all but its time.
        waited=(started.recorded_at - history[0].recorded_at).total_seconds() if queueing is created else None,
    )
