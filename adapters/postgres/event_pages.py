"""The log in PostgreSQL, page by page, for those who follow it."""

from __future__ import annotations

from adapters.postgres.job_reader import Connections
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.follow_log import EventsPage, LoggedEvent
from domain.errors import LogDamaged

_PAGE_BYTES = 1024 * 1024  # of contents as they are stored, which is often compressed


class PostgresEventPages:
    """Implements commands.follow_log.EventPages."""

    def __init__(self, pool: Connections, *, page_bytes: int = _PAGE_BYTES) -> None:
        self._pool = pool
        self._page_bytes = page_bytes

    async def page(self, after: int, *, limit: int) -> EventsPage:
        """See EventPages.page."""
        asked = {"after": after, "limit": limit, "bytes": self._page_bytes}
        with translated("read events_page"):
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(load_statement("events_page"), asked)
                rows = await cursor.fetchall()
        head = rows[0][0]
        if rows[0][1] is None:
            return EventsPage((), max(after, 0), head)
        events = tuple(
            LoggedEvent(
                position=position,
                job_id=job_id,
                version=version,
                type=type_,
                data=data.encode(),
                content=None if content is None else content.encode(),
                actor=actor,
                recorded_at=recorded_at,
                job_type=job_type or "",
            )
            for _, position, job_id, version, type_, data, content, actor, recorded_at, job_type in rows
        )
        last = events[-1].position
        if last - after != len(events):
            raise LogDamaged(f"the log has a gap between position {after} and {last}")
        return EventsPage(events, last, head)
