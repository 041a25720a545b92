"""The invariants of one log, judged in plain Python over its events: P1, P2, S1 to S4 and A1 to A8.

A second opinion: it shares no line with the domain's state machine, only the events' structs. Each breach is a sentence that
begins with the invariant's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from domain.events import (
    Attempted,
    Cancelled,
    CancelRequested,
    Completed,
    Created,
    Event,
    Failed,
    Queued,
    RecordedEvent,
    Started,
)
from domain.retry import RetryPolicy

# Written down once more, from the picture in the design and not from the code.
_MAY_FOLLOW: dict[type[Event], tuple[type[Event], ...]] = {
    Created: (Started, Queued, Cancelled),
    Queued: (Started, Cancelled),
    Started: (Completed, Failed, Attempted, CancelRequested),
    Attempted: (Queued, Cancelled),
    CancelRequested: (Completed, Cancelled),
    Completed: (),
    Failed: (Queued,),
    Cancelled: (Queued,),
}
_CLOSERS = (Attempted, Completed, Failed, Cancelled)


def breaches(
    log: Iterable[RecordedEvent], *, policy: RetryPolicy, asked_waits: Iterable[float] = (), liveness: timedelta
) -> list[str]:
    """Every breach in `log`, a whole log in order. `asked_waits`: seconds that handlers may have asked to wait (A7)."""
    events = list(log)
    found = list(_of_the_log(events))
    jobs: dict[str, list[RecordedEvent]] = {}
    for recorded in events:
        jobs.setdefault(recorded.job_id, []).append(recorded)
    for stream in jobs.values():
        found += _of_the_stream(stream)
        found += _of_the_attempts(stream, policy, frozenset(asked_waits))
    found += _of_the_workers(events, liveness)
    return found


def _of_the_log(events: list[RecordedEvent]) -> Iterator[str]:
    if [e.position for e in events] != list(range(1, len(events) + 1)):
        yield "P1: positions are not 1, 2, 3 …"
    for before, after in pairwise(events):
        if after.recorded_at < before.recorded_at:
            yield f"P2: recorded_at falls at position {after.position}"


def _of_the_stream(stream: list[RecordedEvent]) -> Iterator[str]:
    if [e.version for e in stream] != list(range(1, len(stream) + 1)):
        yield f"S1: versions of {stream[0].job_id} are not 1, 2, 3 …"
    if [type(e.event) is Created for e in stream] != [True] + [False] * (len(stream) - 1):
        yield f"S2: {stream[0].job_id} does not have exactly its first event Created"
    for before, after in pairwise(stream):
        if type(after.event) not in _MAY_FOLLOW[type(before.event)]:
            kind = "A6" if type(before.event) is CancelRequested else "S3"
            yield f"{kind}: {after.event} follows {before.event}"
        ended = isinstance(before.event, (Completed, Failed, Cancelled))
        if ended and (isinstance(before.event, Completed) or not isinstance(after.event, Queued)):
            yield f"S4: {after.event} follows {before.event}"


def _of_the_attempts(stream: list[RecordedEvent], policy: RetryPolicy, asked: frozenset[float]) -> Iterator[str]:
    attempts = used = maximum = 0
    running: Started | None = None
    not_before: datetime | None = None
    ended = False
    for recorded in stream:
        event = recorded.event
        if isinstance(event, Queued) and ended:
            used = 0  # a new life
            not_before = None
        ended = isinstance(event, (Completed, Failed, Cancelled))
        if isinstance(event, (Created, Queued)):
            maximum = event.max_attempts
            if (event.attempt, event.used) != (attempts + 1, used):
                yield f"A1: {event} after {attempts} attempts, {used} of them in this life"
        if isinstance(event, Created):
            not_before = event.run_at
            if event.delay is not None:
                not_before = recorded.recorded_at + timedelta(seconds=event.delay)
        if isinstance(event, Started):
            attempts += 1
            running = event
            if event.attempt != attempts:
                yield f"A1: {event} is the attempt number {attempts}"
            if not_before is not None and recorded.recorded_at < not_before:
                yield f"A4: {event} at {recorded.recorded_at}, before {not_before}"
            if used + 1 > maximum:
                yield f"A3: {event} after {used} of {maximum}"
        if isinstance(event, _CLOSERS):
            named = (event.attempt, event.worker)
            if named != ((running.attempt, running.worker) if running else (None, None)):
                yield f"A2: {event} does not close {running}"
            if running is None and isinstance(event, Cancelled) and event.outcome is not None:
                yield f"A2: {event} tells of an attempt, but none runs"
            if running is not None and not (isinstance(event, Attempted) and event.outcome == "released"):
                used += 1
            running = None
        if isinstance(event, Attempted):
            not_before = recorded.recorded_at + timedelta(seconds=event.retry_after)
            if event.used != used:
                yield f"A3: {event}, but {used} count"
            if event.outcome == "released":
                if event.retry_after != 0:
                    yield f"A7: {event} waits"
            elif event.retry_after not in asked and event.retry_after != min(policy.cap, policy.base * 2 ** (used - 1)):
                yield f"A7: {event} does not wait as the policy says"
            if event.outcome != "released" and used >= maximum:
                yield f"A5: {event} at the maximum {maximum}"
        if isinstance(event, Failed) and used < maximum and not event.permanent:
            yield f"A5: {event} after {used} of {maximum}"


def _of_the_workers(events: list[RecordedEvent], liveness: timedelta) -> Iterator[str]:
    seen_at: dict[str, datetime] = {}
    for recorded in events:
        event = recorded.event
        lost = isinstance(event, (Attempted, Failed, Cancelled)) and event.outcome == "lost" and event.worker
        if lost and recorded.actor != lost:
            seen = seen_at.get(lost)
            if seen is not None and recorded.recorded_at - seen < liveness:
                yield f"A8: {event}, heard of {recorded.recorded_at - seen} before"
        seen_at[recorded.actor] = recorded.recorded_at
