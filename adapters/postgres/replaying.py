"""Looking back, out of PostgreSQL: short read-only statements, each a snapshot of its own, so vacuum is never held back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from adapters.postgres.connecting import READ_ONLY, connect
from adapters.postgres.job_rows import job_of_row
from adapters.postgres.migrate import SchemaMismatch, schema_fits
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import LogDamaged, Unavailable
from projections.replay import CountPage, Horizon, JobPage, LoggedEvent, StateCount

_OPTIONS = (
    f"{READ_ONLY}"
    # What a range holds is known to the planner only from the parameters.
    " -c plan_cache_mode=force_custom_plan"
    # Pages are read along an index, in its order: the planner would sooner read and sort the whole table for each.
    " -c enable_seqscan=off -c enable_sort=off -c enable_bitmapscan=off -c max_parallel_workers_per_gather=0"
    " -c work_mem=32MB"
)
# A page of events takes a few milliseconds, of which the round trip is then a small part.
_EVENTS = 2_000
_FIRST_EVENTS = 100  # of the first page, whose contents may be large
_FEWEST_EVENTS = 4
_JOB_EVENTS = 3  # of a job, mostly
_COUNTED_EVENTS = 20_000  # tens of milliseconds; what comes back are a few counts
_CONTENT_BYTES = 4 * 1024 * 1024  # of the contents of one page; one content more may come on top


class ReadOnly:
    """A connection that can only read. Made by `read_only`."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[tuple[Any, ...]]]:
        """The connection, in the manner of a pool. One user at a time."""
        yield self._connection

    async def rows(self, question: str, **asked: object) -> list[tuple[Any, ...]]:
        """What one statement answers. Raises Unavailable."""
        with translated("look back"):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(load_statement(question), asked)
            return await cursor.fetchall()


@asynccontextmanager
async def read_only(database_url: str, *, application: str) -> AsyncIterator[ReadOnly]:
    """Connect, for reading alone. Raises Unavailable, and SchemaMismatch for a schema that this release cannot read."""
    with translated("look back"):
        try:
            connection = await connect(database_url, application=application, options=_OPTIONS, reads_whole_tables=True)
        except ValueError as exc:
            raise Unavailable(str(exc)) from exc
    async with connection:
        with translated("look back"):
            fits = await schema_fits(connection, ())
        if not fits:
            raise SchemaMismatch("the database's schema is not this release's: `jobledger migrate` brings it there")
        yield ReadOnly(connection)


class PostgresReplayLog:
    """Implements projections.replay.ReplayLog. The page sizes are arguments for tests alone."""

    def __init__(
        self,
        database: ReadOnly,
        *,
        events: int = _EVENTS,
        counted_events: int = _COUNTED_EVENTS,
        content_bytes: int = _CONTENT_BYTES,
    ) -> None:
        self._database = database
        self._most_events = events
        self._counted_events = counted_events
        self._content_bytes = content_bytes
        self._limit = min(events, _FIRST_EVENTS)

    async def horizon(self) -> Horizon:
        """See ReplayLog.horizon."""
        [row] = await self._database.rows("replay_horizon")
        return Horizon(*row)

    async def position_at(self, time: datetime, *, head: int) -> int:
        """See ReplayLog.position_at."""
        [(low, high)] = await self._database.rows("replay_position", time=time, head=head)
        if low != high:
            raise LogDamaged(f"the log has a gap: there is no event at position {low + (high - low + 1) // 2}")
        return int(low)

    async def events(self, first: int, last: int) -> list[LoggedEvent]:
        """See ReplayLog.events."""
        asked = {"first": first, "last": last, "limit": self._limit, "bytes": self._content_bytes}
        events = [
            LoggedEvent(
                position,
                job_id,
                version,
                type_,
                data.encode(),
                None if content is None else content.encode(),
                actor,
                recorded_at,
            )
            for position, job_id, version, type_, data, content, actor, recorded_at in await self._database.rows(
                "replay_events", **asked
            )
        ]
        self._adapt(sum(len(event.content or b"") for event in events), fitting=len(events))
        return events

    async def counts(self, *, after: str, last: str, position: int) -> CountPage | None:
        """See ReplayLog.counts."""
        rows = await self._database.rows(
            "replay_counts", after=after, last=last, position=position, limit=self._counted_events
        )
        if not rows:
            return None
        return CountPage(rows[0][0], [StateCount(*row[1:]) for row in rows if row[1] is not None])

    async def jobs(self, *, after: str, last: str, position: int) -> JobPage | None:
        """See ReplayLog.jobs."""
        rows = await self._database.rows(
            "replay_jobs",
            after=after,
            last=last,
            position=position,
            limit=self._limit,
            bytes=self._content_bytes,
        )
        if not rows:
            return None
        jobs = [job_of_row(row[1], row[2:]) for row in rows if row[1] is not None]
        self._adapt(
            sum(len(job.result or b"") + len(job.error or b"") for job in jobs), fitting=len(jobs) * _JOB_EVENTS
        )
        return JobPage(rows[0][0], jobs)

    def _adapt(self, content_bytes: int, *, fitting: int) -> None:
        # The statement weighs every content up to its limit, those too that do not fit any more: where contents are large, few
        # events more than fit are enough.
        wanted = 2 * (fitting if content_bytes >= self._content_bytes else self._limit)
        self._limit = min(self._most_events, max(_FEWEST_EVENTS, wanted))
