"""Add again the entries of queued jobs that are in no stream, such as one that somebody deleted. No clock, no technology."""

from __future__ import annotations

from logging import getLogger

from commands.queue_ports import QueueFeed, RelayQueue

_log = getLogger(__name__)

PAGE = 1_000  # jobs looked at in one step: a millisecond or two of Redis's only thread
MIN_AGE_SECONDS = 60.0  # younger ones are still on their way, or just being claimed


class MendQueue:
    """Goes through the queued jobs, page by page. A pass every few minutes is enough: single entries get lost by hand alone.

    No entry is added for a job that a worker has already started, however far `jobs` lags: an entry that was found missing is
    looked up in the log afterwards, and a worker takes an entry away only after its Started is there.
    """

    def __init__(
        self, *, queue: RelayQueue, feed: QueueFeed, page: int = PAGE, min_age_seconds: float = MIN_AGE_SECONDS
    ) -> None:
        self._queue = queue
        self._feed = feed
        self._page = page
        self._min_age_seconds = min_age_seconds
        self._after = 0  # the position up to which this pass has come

    async def step(self) -> bool:
        """Look at the next page and mend it; answers whether the pass goes on. Raises Unavailable, LogDamaged."""
        page = await self._feed.queued_page(after=self._after, limit=self._page, min_age_seconds=self._min_age_seconds)
        missing = await self._queue.find_missing(page.entries, log_id=page.log_id) if page.entries else []
        if missing:
            waiting = await self._feed.still_queued(missing)
            added = await self._queue.add_missing(waiting, log_id=page.log_id) if waiting else []
            if added:
                _log.warning(
                    "entries were missing in the queue and are added again",
                    extra={"count": len(added), "first_job_id": added[0].job_id},
                )
        if len(page.entries) < self._page:
            self._after = 0
            return False
        self._after = int(page.entries[-1].entry_id.partition("-")[0])
        return True
