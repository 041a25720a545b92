"""The checkpoints of the projections (R1, R4): each is a position that the log has reached."""

from __future__ import annotations

from collections.abc import Iterator

from projections.verify.checks import Violation


def judge_checkpoint(check: str, table: str, *, checkpoint: int | None, head: int) -> Iterator[Violation]:
    """A checkpoint of `table` that is not one, as a violation of `check`. None: it is missing."""
    if checkpoint is None:
        yield Violation(check=check, sentence=f"the checkpoint of {table} is missing")
    elif not 0 <= checkpoint <= head:
        yield Violation(
            check=check, sentence=f"the checkpoint of {table} is {checkpoint}, but the log's head is {head}"
        )
