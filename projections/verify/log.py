"""The whole log, page by page: P1, P2, A8, and the digest that says whether two looks saw the same log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from projections.verify.checks import Violation
from projections.verify.ports import HastyLoss, LogPage, OutOfOrder, Standing

# Positions in a page; pages begin at 1 and at one more than each multiple of it. The digest depends on it: never change it.
PAGE = 10_000


def pages(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The pages from position `first` to `last`, each as its first and last position."""
    while first <= last:
        end = min(last, (first - 1) // PAGE * PAGE + PAGE)
        yield first, end
        first = end + 1


class LogDigest:
    """The digest of a log from a position to another: SHA-256 over the digest so far and the next page's, page by page.

    It begins with 32 zero bytes. Pages may be added in any order; they are waited for.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._chained = bytes(32)
        self._waiting: dict[int, tuple[int, bytes]] = {}

    def add(self, first: int, last: int, digest: bytes) -> None:
        """Add the page from `first` to `last`."""
        self._waiting[first] = (last, digest)
        while self._next in self._waiting:
            last, digest = self._waiting.pop(self._next)
            self._chained = hashlib.sha256(self._chained + digest).digest()
            self._next = last + 1

    @property
    def hex(self) -> str:
        """The digest of all pages up to the first that is missing."""
        return self._chained.hex()


def judge_page(page: LogPage, last: int) -> Iterator[Violation]:
    """What is wrong with the order of a page that ends with position `last`."""
    for event in page.out_of_order:
        yield from _judge_order(event)
    if page.last < last:
        yield Violation(check="P1", position=last, sentence=f"{_run(page.last + 1, last)} missing from the log")


def judge_below(standing: Standing) -> Iterator[Violation]:
    """Positions below the first."""
    for position in standing.below_first:
        yield Violation(check="P1", position=position, sentence=f"position {position} is below 1")


def judge_loss(loss: HastyLoss, *, liveness: float) -> Violation:
    """An attempt that was given up too early."""
    return Violation(
        check="A8",
        job_id=loss.job_id,
        version=loss.version,
        position=loss.position,
        sentence=f"worker {loss.worker} was given up {loss.silence:.3f} s after it was last heard of, not {liveness:g} s",
    )


def _judge_order(event: OutOfOrder) -> Iterator[Violation]:
    def violation(check: str, sentence: str) -> Violation:
        return Violation(
            check=check, job_id=event.job_id, version=event.version, position=event.position, sentence=sentence
        )

    if event.position <= event.position_before:
        yield violation("P1", f"position {event.position} is there more than once")
    elif event.position > event.position_before + 1:
        yield violation("P1", f"{_run(event.position_before + 1, event.position - 1)} missing from the log")
    if event.recorded_before is not None and event.recorded_at < event.recorded_before:
        yield violation(
            "P2",
            f"recorded at {event.recorded_at.isoformat()}, before {event.recorded_before.isoformat()} of the event before it",
        )


def _run(first: int, last: int) -> str:
    return f"position {first} is" if first == last else f"positions {first} to {last} are"
