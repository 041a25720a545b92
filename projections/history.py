"""One job's history: each event, and the job after it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.events import RecordedEvent
from domain.job import Job, evolve


def states_after(events: Iterable[RecordedEvent]) -> Iterator[tuple[RecordedEvent, Job]]:
    """Each event of one job, in order from its Created on, with the job after it. Raises IllegalTransition: damage."""
    job = None
    for event in events:
        job = evolve(job, event)
        yield event, job
