"""What this process cannot reach now: one line in its log when a dependency goes, and one when it returns.

Many parts of a process use the same dependency, and each finds out for itself; nobody is to read that seven times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from commands.report import Report
from domain.errors import Unavailable

# Seconds after a return in which a new outage is not told, unless it outlasts them: what comes and goes fills no log.
QUIET = 2.0


# Uses that several places of a process speak of.
WRITE_LOG = "write the log"
READ_JOBS = "read jobs"


class _Outage:
    __slots__ = ("is_told", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.is_told = False


class Outages:
    """A dependency is away from the first failure of any of its users until none of them fails any more.

    A user is named by what it does (`doing`), and says of each try how it went. May be called from any thread.
    """

    def __init__(self, *, report: Report, now: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._now = now
        self._lock = Lock()
        self._failing: dict[str, str] = {}  # what is being done: the dependency that it fails for
        self._outages: dict[str, _Outage] = {}
        self._returned_at: dict[str, float] = {}

    @property
    def are_any(self) -> bool:
        """Whether anything fails now."""
        return bool(self._failing)

    @property
    def away(self) -> frozenset[str]:
        """The dependencies that cannot be reached now."""
        with self._lock:
            return frozenset(self._failing.values())

    def includes(self, doing: str) -> bool:
        """Whether this user's last try failed."""
        return doing in self._failing

    def failed(self, exc: Unavailable, *, doing: str, lasted: float = 0.0, meanwhile: str = "") -> None:
        """A try failed. `lasted`: for how many seconds all have; `meanwhile`: what is done instead, for the line that says so."""
        dependency = exc.dependency or doing
        with self._lock:
            before = self._failing.get(doing)
            self._failing[doing] = dependency
            if before not in (None, dependency):
                self._end_if_over(str(before))
            now = self._now()
            outage = self._outages.setdefault(dependency, _Outage(now - lasted))
            if outage.is_told or now - self._returned_at.get(dependency, float("-inf")) < QUIET:
                return
            outage.is_told = True
            what_else = {"meanwhile": meanwhile} if meanwhile else {}
            # The first line says what is wrong; a driver may go on about the statement.
            error = str(exc).strip().partition("\n")[0]
            self._report.warning("dependency away", dependency=dependency, doing=doing, error=error, **what_else)

    def succeeded(self, *, doing: str) -> None:
        """A try went well. Costs nothing where the one before did too."""
        if doing not in self._failing:
            return
        with self._lock:
            dependency = self._failing.pop(doing, None)
            if dependency is not None:
                self._end_if_over(dependency)

    def _end_if_over(self, dependency: str) -> None:
        if dependency in self._failing.values():
            return
        outage = self._outages.pop(dependency)
        if outage.is_told:
            now = self._returned_at[dependency] = self._now()
            self._report.info("dependency back", dependency=dependency, away_seconds=round(now - outage.since, 3))
