"""The log in memory, page by page."""

from __future__ import annotations

from commands.follow_log import EventsPage, LoggedEvent
from commands.ports import Unavailable
from domain.events import Created, encode_data, type_name
from tests.fakes.event_log import FakeEventLog


class FakeEventPages:
    """Implements commands.follow_log.EventPages. `asked`: how often it was."""

    def __init__(self, log: FakeEventLog) -> None:
        self._log = log
        self.asked = 0

    async def page(self, after: int, *, limit: int) -> EventsPage:
        """See EventPages.page."""
        self.asked += 1
        if self._log.away:
            raise Unavailable("the log is away", dependency="PostgreSQL")
        types = {e.job_id: e.event.type for e in self._log.events if isinstance(e.event, Created)}
        events = tuple(
            LoggedEvent(
                position=e.position,
                job_id=e.job_id,
                version=e.version,
                type=type_name(e.event),
                data=encode_data(e.event),
                content=e.content,
                actor=e.actor,
                recorded_at=e.recorded_at,
                job_type=types[e.job_id],
            )
            for e in self._log.events[after : after + limit]
        )
        return EventsPage(events, after + len(events), len(self._log.events))
