"""The read table (R1), and the two folds held against each other (R3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from msgspec.structs import fields

from domain.errors import IllegalTransition
from domain.events import RecordedEvent
from domain.job import Job, fold
from projections.verify.checks import Violation
from projections.verify.ports import RowDifference

_PERSONAL = ("result", "error")  # never printed


def judge_row(row: RowDifference) -> Violation:
    """A row that is not what the log says."""
    return Violation(
        check="R1", job_id=row.job_id, version=row.version, position=row.position or 0, sentence=sentence_of(row)
    )


def sentence_of(row: RowDifference) -> str:
    """How it differs, in words; without what may be personal."""
    if not row.is_in_table:
        return "the log has this job, jobs has no row for it"
    if not row.is_in_log:
        return "jobs has a row that the log, up to the checkpoint, knows nothing of"
    return "; ".join(_column(name, row) for name in row.columns)


def judge_folds(events: Iterable[RecordedEvent], folded: Iterable[Job]) -> Iterator[Violation]:
    """What `domain.job.fold` makes of `events`, job by job, against what the fold in SQL made of the same.

    A stream that the state machine does not allow has no fold: S3 is the check for that.
    """
    by_sql = {job.id: job for job in folded}
    for job_id, stream in groupby(events, key=lambda event: event.job_id):
        history = list(stream)
        try:
            job = fold(history)
        except IllegalTransition:
            continue
        assert job is not None
        other = by_sql.get(job_id)
        if job == other:
            continue
        differing = [f.name for f in fields(Job) if getattr(job, f.name) != getattr(other, f.name, None)]
        yield Violation(
            check="R3",
            job_id=job_id,
            version=job.version,
            position=history[-1].position,
            sentence=f"the folds in Python and in SQL differ in {', '.join(differing)}",
        )


def _column(name: str, row: RowDifference) -> str:
    if name in _PERSONAL:
        return f"{name} is not the log's"
    return f"{name} is {_shown(row.in_table[name])}, by the log {_shown(row.in_log[name])}"


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
