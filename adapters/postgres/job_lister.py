"""Lists of jobs out of PostgreSQL: in pages that cost the same however many jobs there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.postgres.job_reader import Connections
from adapters.postgres.job_rows import job_of_row
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.list_jobs import JobFilter, JobPage
from domain.ids import least_id_at

# Jobs that one page looks at before it is answered as it is: a few milliseconds.
EXAMINED = 10_000
# An id holds the time of the clock of the API that made it, `created_at` that of the database. Where a list begins and ends in
# time is found by ids, as far apart as two clocks in order never are; which jobs belong into it, by `created_at` alone.
CLOCKS_APART = timedelta(minutes=1)

# Jobs with one tag that may be looked at all together; a tag that more have is found along with the others.
FEW_TAGGED = 20_000

_BEYOND_ALL = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_BELOW_ALL = "00000000-0000-0000-0000-000000000000"
# By status, where an index knows which jobs have it.
_QUESTIONS = {
    "pending": "job_list_pending",
    "processing": "job_list_processing",
    "failed": "job_list_failed",
    "cancelled": "job_list_cancelled",
}


class PostgresJobLister:
    """Implements commands.list_jobs.JobLister. `examined`: how many jobs one page may look at; `few_tagged`: see FEW_TAGGED."""

    def __init__(self, pool: Connections, *, examined: int = EXAMINED, few_tagged: int = FEW_TAGGED) -> None:
        self._pool = pool
        self._examined = examined
        self._few_tagged = few_tagged

    async def page(self, wanted: JobFilter, *, cursor: str | None, limit: int) -> JobPage:
        """See JobLister.page."""
        before, floor = cursor or _BEYOND_ALL, _BELOW_ALL
        if wanted.created_before is not None:
            before = min(before, least_id_at(_later(wanted.created_before, CLOCKS_APART)))
        if wanted.created_after is not None:
            floor = least_id_at(_later(wanted.created_after, -CLOCKS_APART))
        asked = {
            "before": before,
            "floor": floor,
            "examined": max(self._examined, limit + 1),
            "limit": limit + 1,  # the one more says whether there is a next page
            "status": wanted.status,
            "type": wanted.type,
            "priority": wanted.priority,
            "tag": wanted.tag,
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
        }
        rows = await self._rows(wanted, asked)
        jobs = [job_of_row(row[1], row[2:]) for row in rows if row[1] is not None]
        if len(jobs) > limit:
            return JobPage(jobs[:limit], jobs[limit - 1].id)
        return JobPage(jobs, rows[0][0])

    async def _rows(self, wanted: JobFilter, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
        question = _QUESTIONS.get(wanted.status or "", "job_list")
        with translated("read a list of jobs"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                if wanted.tag is not None:
                    await cursor.execute(load_statement("tag_share"), {"tag": wanted.tag})
                    share = await cursor.fetchone()
                    if share is None or share[0] <= self._few_tagged:
                        async with connection.transaction():
                            await cursor.execute(load_statement("allow_bitmaps"))
                            await cursor.execute(load_statement("job_list_tagged"), asked)
                            return await cursor.fetchall()
                await cursor.execute(load_statement(question), asked)
                return await cursor.fetchall()


def _later(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if by > timedelta(0) else datetime.min.replace(tzinfo=UTC)
