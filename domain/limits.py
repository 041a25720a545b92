"""How often a job may be tried and how long an attempt may take: the bounds of what a caller or an author may ask for.

They keep a slip of the finger, such as milliseconds for seconds, from becoming a fact that occupies a worker for years.
"""

from __future__ import annotations

from datetime import timedelta

from domain.errors import JobledgerError

MOST_ATTEMPTS = 1_000  # waits are an hour by then: six weeks of trying
LONGEST_TIMEOUT = timedelta(days=7)


class InvalidLimit(JobledgerError):
    """A new job was to have a limit that is out of bounds. `field` is `max_attempts` or `timeout`."""

    code = "invalid_limit"

    def __init__(self, field: str, value: float, allowed: str) -> None:
        super().__init__(f"{field} is {value}: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


def checked_max_attempts(attempts: int) -> int:
    """The number itself. Raises InvalidLimit."""
    if not 1 <= attempts <= MOST_ATTEMPTS:
        raise InvalidLimit("max_attempts", attempts, f"1 to {MOST_ATTEMPTS} attempts are allowed")
    return attempts


def checked_timeout(seconds: float | None) -> float | None:
    """The seconds in whole milliseconds; None is none of its own. Raises InvalidLimit."""
    if seconds is None:
        return None
    longest = LONGEST_TIMEOUT.total_seconds()
    if not 0.001 <= seconds <= longest:  # nor is anything true of NaN
        raise InvalidLimit("timeout", seconds, f"0.001 to {longest:.0f} seconds (seven days) are allowed")
    return round(seconds, 3)
