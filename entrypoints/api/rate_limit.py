"""How many requests a second one caller may send: a token bucket each, in the memory of this process.

Several API processes count apart, so together they let through as many times more. No clock but the one that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from entrypoints.api.answers import Header
from entrypoints.api.problems import TOO_MANY_REQUESTS, Problem

_MOST_CALLERS = 10_000  # known at a time: two megabytes. Beyond, the one who was silent longest begins anew.
_SECOND = 1.0  # what a bucket holds: so many seconds' worth of requests may come at once


class RateLimit:
    """`per_second` requests of one caller; the bucket holds as many. `now`: seconds of a monotonic clock."""

    def __init__(self, per_second: int, *, now: Callable[[], float], most_callers: int = _MOST_CALLERS) -> None:
        self._per_second = per_second
        self._interval = _SECOND / per_second
        self._now = now
        self._most_callers = most_callers
        # Of each caller the moment at which its bucket is full again; whoever asked last stands last.
        self._full_at: dict[str, float] = {}
        # draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: quota, window, what is left, until when that holds.
        self._policy: Header = (b"ratelimit-policy", b'"requests";q=%d;w=1' % per_second)

    def take(self, caller: str) -> list[Header]:
        """Count one request; what its answer tells of the limit. Raises Problem 429."""
        now = self._now()
        full_at = max(self._full_at.pop(caller, now), now) + self._interval
        wait = full_at - now - _SECOND
        if wait > self._interval / 1000:  # sums of intervals are not exact
            self._full_at[caller] = full_at - self._interval
            raise Problem(
                TOO_MANY_REQUESTS,
                f"at most {self._per_second} requests a second are answered (MAX_REQUESTS_PER_SECOND)",
                headers=[*self._headers(0), (b"retry-after", b"%d" % max(1, ceil(wait)))],
            )
        if len(self._full_at) >= self._most_callers:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[caller] = full_at
        return self._headers(max(0, int((_SECOND + now - full_at) * self._per_second + 0.001)))

    def _headers(self, left: int) -> list[Header]:
        return [self._policy, (b"ratelimit", b'"requests";r=%d;t=1' % left)]
