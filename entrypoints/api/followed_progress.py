"""What one stream of a job's events tells of its progress: what is new, while an attempt runs by the events told so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from commands.ports import Unavailable
from commands.progress import Progress
from commands.share_progress import SharedProgress
from domain.events import Started, decode_data
from domain.job import STATUS_AFTER, Job

LOOK_EVERY = 0.5  # seconds, however often something is appended


class FollowedProgress:
    """Belongs to one stream, which begins with `job` and then says what happened to it, one event after the other.

    So nothing is told of an attempt before its Started or after its end, whatever the board shows.
    """

    def __init__(self, shared: SharedProgress, job: Job, *, now: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._job_id = job.id
        self._now = now
        self._attempt = job.attempts if job.status == "processing" else None  # that runs
        self._told: Progress | None = None
        self._look_at = float("-inf")

    def happened(self, event_type: str, data: bytes) -> None:
        """The stream comes to the next event of the job."""
        if event_type == Started.__name__:
            started = decode_data(event_type, data)
            assert isinstance(started, Started)
            self._attempt = started.attempt
        elif STATUS_AFTER.get(event_type) != "processing":
            self._attempt = None

    async def news(self) -> Progress | None:
        """What the attempt that runs said since the last call; None for nothing new, and while it cannot be read."""
        if self._attempt is None or self._now() < self._look_at:
            return None
        self._look_at = self._now() + LOOK_EVERY
        with suppress(Unavailable):
            progress = await self._shared.of(self._job_id, attempt=self._attempt)
            if progress != self._told:
                self._told = progress
                return progress
        return None
