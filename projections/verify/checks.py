"""What is checked, by name and in order; and what a check found. docs/verify.md explains each."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

SHOWN = 20  # violations of one check that are kept to be printed; the others are counted

# Name to promise. The order is that of the report.
CHECKS: dict[str, str] = {
    "P1": "positions are 1, 2, 3 … without a gap or a double",
    "P2": "recorded_at never falls along the positions",
    "P3": "triggers, keys and privileges keep events as they are",
    "S1": "a job's versions are 1, 2, 3 …, each once, and their positions rise",
    "S2": "version 1 is Created, and no other event is",
    "S3": "each event may follow the one before it",
    "S4": "nothing follows Completed; only the Queued of a manual retry follows Failed or Cancelled",
    "S5": "each event can be read: its type is known, and its data is what the type says",
    "A1": "attempts are 1, 2, 3 …, on over manual retries",
    "A2": "what closes an attempt names the attempt and worker of the Started that it closes",
    "A3": "in one life, attempts that count never exceed the maximum",
    "A4": "no attempt starts before its wait is over",
    "A5": "Attempted comes only below the maximum; Failed only at it, or permanent",
    "A6": "after CancelRequested come only Completed or Cancelled",
    "A7": "waits are the policy's, or within what a job type may ask for",
    "A8": "no worker is given up that was heard of just before",
    "L1": "each job is over, or due in the future",
    "L2": "nothing is left in the queue",
    "L3": "dispatcher and projector stand at the head of the log",
    "R1": "jobs is the fold of the log at its checkpoint, in both directions, in every column",
    "R3": "both folds make the same of each history",
    "R4": "stats is what the log counts up to its checkpoint",
}
WHEN_DRAINED = ("L1", "L2", "L3")


class Violation(Struct, frozen=True, kw_only=True, order=True):
    """One thing that does not hold. `position` and `version` are of the event that it shows at, where there is one."""

    position: int = 0  # 0: of no event
    job_id: str = ""
    version: int = 0
    check: str
    sentence: str


class Findings:
    """Counts all violations of each check and keeps the first few, by position: whatever their number, memory is constant."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(CHECKS, 0)
        self._kept: dict[str, list[Violation]] = {name: [] for name in CHECKS}

    def add(self, violations: Iterable[Violation]) -> None:
        """Take note of `violations`."""
        for violation in violations:
            self.counts[violation.check] += 1
            kept = self._kept[violation.check]
            kept.append(violation)
            if len(kept) > 2 * SHOWN:
                kept.sort()
                del kept[SHOWN:]

    def first(self, check: str) -> list[Violation]:
        """The first violations of a check, SHOWN at the most."""
        return sorted(self._kept[check])[:SHOWN]

    @property
    def total(self) -> int:
        """All violations of all checks."""
        return sum(self.counts.values())
