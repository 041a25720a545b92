"""Tell dead workers from slow ones: a worker is dead when its counter was watched standing still for long enough."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from commands.close_lost import close_lost
from commands.dispatch_ports import WorkerTable
from commands.ports import EventLog, Unavailable
from domain.job import Job
from domain.retry import RetryPolicy

PAGE = 500  # orphaned attempts closed in one step
# Seconds without a look after which nothing counts that was seen before: a watcher that was stopped, or a machine that slept,
# has not watched anybody stand still.
LONGEST_GAP = 4.0


class _Sighting(Struct, frozen=True):
    counter: int
    since: float  # of the watcher's monotonic clock


class WatchWorkers:
    """Removes workers whose counter stood still for `liveness` seconds, and closes what workers without a row left behind.

    `now` is a monotonic clock. Neither a step of the wall clock nor an outage of the database makes anybody dead.
    """

    def __init__(
        self,
        *,
        table: WorkerTable,
        log: EventLog,
        policy: RetryPolicy,
        actor: str,
        liveness: float,
        now: Callable[[], float],
    ) -> None:
        self._table = table
        self._log = log
        self._policy = policy
        self._actor = actor
        self._liveness = liveness
        self._now = now
        self._seen: dict[str, _Sighting] = {}
        self._looked_at = float("-inf")

    @property
    def longest_silence(self) -> float:
        """Seconds for which the counter that stands still for longest has been watched doing so; 0 without workers."""
        now = self._now()
        return max((now - seen.since for seen in self._seen.values()), default=0.0)

    async def step(self) -> tuple[list[str], list[Job]]:
        """Look once; answers the workers removed and the jobs whose attempt was closed as lost. Raises Unavailable."""
        removed = await self._remove_dead()
        closed = await close_lost(
            await self._table.orphans(limit=PAGE), actor=self._actor, log=self._log, policy=self._policy
        )
        return removed, closed

    async def _remove_dead(self) -> list[str]:
        try:
            counters = await self._table.counters()
        except Unavailable:
            self._seen.clear()  # who could not look has not seen anybody stand still
            raise
        now = self._now()
        if now - self._looked_at > LONGEST_GAP:
            self._seen.clear()
        self._looked_at = now
        seen: dict[str, _Sighting] = {}
        removed = []
        for worker, counter in counters.items():
            before = self._seen.get(worker)
            if before is None or before.counter != counter:
                seen[worker] = _Sighting(counter, now)
            elif now - before.since < self._liveness:
                seen[worker] = before
            elif await self._table.remove(worker, counter=counter):
                removed.append(worker)
        self._seen = seen
        return removed
