"""How many event streams may be open in this process at once."""

from __future__ import annotations

from entrypoints.api.problems import TOO_MANY_STREAMS, Problem

_RETRY_AFTER = 5  # seconds: streams end when their clients go, which nobody can foresee


class StreamPlaces:
    """So many places; each stream takes one before it begins and gives it back at its end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def take(self) -> None:
        """Raises Problem 503 where none is left."""
        if self._taken >= self._most:
            raise Problem(
                TOO_MANY_STREAMS,
                f"{self._most} event streams are open already (MAX_EVENT_STREAMS)",
                headers=[(b"retry-after", b"%d" % _RETRY_AFTER)],
            )
        self._taken += 1

    def give_back(self) -> None:
        """At the end of the stream, however that came."""
        self._taken -= 1
