"""How long to wait before the next attempt. Seconds only: when a wait is over, the database's clock says."""

from __future__ import annotations

from msgspec import Struct


class RetryPolicy(Struct, frozen=True):
    """Exponential backoff: `base` seconds before the second attempt, doubled before each further one, at most `cap`."""

    base: float = 1.0
    cap: float = 3600.0

    def wait_after(self, used: int) -> float:
        """Seconds to wait after `used` counted attempts (1 or more) have failed."""
        # The exponent is bounded: 2.0 ** 1024 overflows, and any cap is reached long before.
        return min(self.cap, self.base * 2.0 ** min(used - 1, 64))
