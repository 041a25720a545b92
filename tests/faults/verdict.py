"""What the judge found: violations by check, counted and the first few kept, and the line of figures of a run."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

# What is checked beside `jobledger verify`, in the order of the report.
CHECKS: dict[str, str] = {
    "C1": "each job answered with 2xx is in the log exactly once",
    "C2": "each job in the log was asked for, and none was refused",
    "C3": "one idempotency key is one job",
    "C4": "what is stored is what was sent",
    "C5": "a job never goes back in the eyes of who asks or waits: its version, its being there, its end",
    "C6": "each cancel or retry answered with 2xx is in its job exactly once; nobody else's is, and none that was refused",
    "C7": "a follower is shown every event that it wants, as it is in the log, once and in order, however often it is cut off",
    "E1": "one whole file for each completed export, as its Completed records it, and no other file",
    "E2": "one mail for each completed mail job; where there may be more, all are the same and the log says so",
    "E3": "executions of a job do not overlap, unless the earlier worker had been given up; each belongs to a Started",
}
_SHOWN = 20  # violations of one check that are kept; the others are counted


class Finding(Struct, frozen=True, order=True):
    """One thing that does not hold."""

    check: str
    subject: str  # the job, the key or the file
    sentence: str


class Findings:
    """Counts by check, and the first few of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.kept: list[Finding] = []

    def add(self, check: str, subject: str, sentence: str) -> None:
        """Take note."""
        self.counts[check] = self.counts.get(check, 0) + 1
        if self.counts[check] <= _SHOWN:
            self.kept.append(Finding(check, subject, sentence))

    def said(self, check: str) -> list[str]:
        """What is kept of a check."""
        return [f"{one.subject}: {one.sentence}" for one in self.kept if one.check == check]


class Figures(Struct, kw_only=True):
    """The line of a run. Times are in seconds; None: there was nothing to measure."""

    seed: int = 0
    attempts: int = 0  # jobs that were asked for
    acked: int = 0  # of them, answered with 2xx
    lost: int = 0  # answered with 2xx, and not in the log
    unexpected: int = 0  # in the log, and asked for by nobody, or refused, or a second one for one key
    recovered: int = 0  # in the log though their client never got an answer
    executions: int = 0
    overlapping: int = 0  # executions that began while another one of their job went on, all of them
    duplicate_effects: int = 0  # mails and executions that came to their end, beyond the first of a job
    stuck: int = 0  # jobs that are not over
    resurrected: int = 0  # jobs that had ended, and did not stay so
    longest_stall: float | None = None
    recovery: tuple[float, float, float] | None = None  # p50, p95, max
    batched: int = 0  # of the jobs that were asked for, those of batches
    waited: int = 0  # answers that waited for a job's end
    cancels: int = 0  # that were answered with 2xx
    retries: int = 0
    followed: int = 0  # events that followers were shown
    streams: int = 0  # on which they came

    def line(self) -> str:
        """All of it on one line."""
        stall = "-" if self.longest_stall is None else f"{self.longest_stall:.1f} s"
        recovery = "-" if self.recovery is None else "/".join(f"{seconds:.1f}" for seconds in self.recovery) + " s"
        return (
            f"seed {self.seed}: attempts {self.attempts}, acked {self.acked}, lost {self.lost},"
            f" unexpected {self.unexpected}, recovered {self.recovered}, executions {self.executions},"
            f" overlapping {self.overlapping}, duplicate effects {self.duplicate_effects}, stuck {self.stuck},"
            f" resurrected {self.resurrected}, longest stall {stall}, recovery p50/p95/max {recovery}"
        )

    def other_requests(self) -> str:
        """What else was in the load, on one line."""
        return (
            f"of these in batches {self.batched}; answers that waited {self.waited}; cancels {self.cancels},"
            f" retries {self.retries}; events followed {self.followed}, on {self.streams} streams"
        )


class Verdict(Struct, frozen=True):
    """The outcome of a run: `reasons` is empty exactly if it passed. `counts`: violations by check, of those that have any."""

    figures: Figures
    counts: dict[str, int]
    reasons: Sequence[str]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def text(self) -> str:
        """The line and what else was asked, then what does not hold."""
        lines = [self.figures.line(), self.figures.other_requests()]
        return "\n".join([*lines, "passed" if self.passed else "FAILED", *self.reasons])
