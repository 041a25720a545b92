"""What holds once everything is over (L1 to L3): asked for only when nothing is meant to be under way any more."""

from __future__ import annotations

from collections.abc import Iterator

from projections.verify.checks import Violation
from projections.verify.ports import Standing, Unfinished


def judge_unfinished(job: Unfinished) -> Violation:
    """A job that is neither over nor due in the future."""
    return Violation(
        check="L1",
        job_id=job.job_id,
        version=job.version,
        position=job.position,
        sentence=f"its newest event is {job.type}, and it is not waiting for a time to come",
    )


def judge_standing(standing: Standing) -> Iterator[Violation]:
    """Who does not stand at the head of the log."""
    for who, position in (("the projector", standing.checkpoint), ("the dispatcher", standing.relayed)):
        if position != standing.head:
            yield Violation(check="L3", sentence=f"{who} stands at {position}, the log's head is {standing.head}")
