"""The endpoints GET /events and GET /jobs/{id}/events: as JSON, as lines of JSON, or live as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from urllib.parse import urlencode

import msgspec
import structlog
from litestar.types import Receive, Scope
from msgspec import Raw

from commands.follow_log import EventsPage, LogFollower, LoggedEvent
from commands.key_ring import Caller
from commands.ports import JobReader
from commands.share_progress import SharedProgress
from domain.errors import LogDamaged, UnknownEventType
from domain.events import EVENT_TYPES, RecordedEvent, encode_data, type_name
from domain.ids import parse_job_id
from domain.job import STATUS_AFTER, fold
from domain.moment import timestamp
from entrypoints.api.access import caller_of
from entrypoints.api.answers import NO_STORE, Answer, json_answer
from entrypoints.api.event_query import EventQuery, read_event_query
from entrypoints.api.event_stream import (
    EVENT_STREAM,
    Heartbeats,
    beginning,
    lines_of,
    message_of,
    message_of_progress,
)
from entrypoints.api.followed_progress import FollowedProgress
from entrypoints.api.job_view import progress_view, raw
from entrypoints.api.models import EventList, EventView, History, LoggedEventView
from entrypoints.api.problems import BEYOND_HEAD, JOB_NOT_FOUND, Problem
from entrypoints.api.stream_places import StreamPlaces
from entrypoints.api.streamed import StreamAnswer

_log = structlog.get_logger(__name__)

NDJSON = b"application/x-ndjson"
EXAMINED = 10_000  # events that one page looks at before it is answered as it is


class EventEndpoints:
    """Each method is one endpoint: it takes the raw request, and answers or raises what becomes a problem document."""

    def __init__(
        self,
        *,
        jobs: JobReader,
        follower: LogFollower,
        progress: SharedProgress,
        places: StreamPlaces,
        examined: int = EXAMINED,
    ) -> None:
        self._jobs = jobs
        self._follower = follower
        self._progress = progress
        self._places = places
        self._examined = examined

    async def of_job(self, scope: Scope, receive: Receive) -> Answer:
        """GET /jobs/{id}/events."""
        job_id = parse_job_id(scope["path"].split("/", 3)[2])
        headers = dict(scope["headers"])
        query = read_event_query(scope["query_string"], headers, of_job=True)
        # Read before the history: what comes after it is in the history or follows.
        is_live = _is_live(scope, headers)
        head = await self._follower.head() if is_live else 0
        history = await self._jobs.history(job_id)
        if not history:
            raise Problem(JOB_NOT_FOUND, f"there is no job {job_id}")
        if is_live:
            _require_reached(query.after, max(head, history[-1].position))
        after = query.after or 0
        wanted = query.types or EVENT_TYPES.keys()
        events = [_event_view(e) for e in history if e.position > after and type_name(e.event) in wanted]
        if is_live:
            job = fold(history)
            assert job is not None  # which has a history
            progress = FollowedProgress(self._progress, job)
            last = max(after, history[-1].position)
            return self._stream(
                self._live_of_job(job_id, query, head, events, progress, last=last, caller=caller_of(scope))
            )
        if NDJSON in headers.get(b"accept", b""):
            return Answer(200, lines_of(events), content_type=NDJSON, headers=[NO_STORE])
        return json_answer(History(events))

    async def of_all(self, scope: Scope, receive: Receive) -> Answer:
        """GET /events."""
        headers = dict(scope["headers"])
        query = read_event_query(scope["query_string"], headers, of_job=False)
        if _is_live(scope, headers):
            # Who does not say from where on wants to see what happens from now on.
            head = await self._follower.head()
            _require_reached(query.after, head)
            return self._stream(self._live(query, head if query.after is None else query.after, caller_of(scope)))
        events, page = await self._page(query)
        views = [_logged_view(event) for event in events]
        named: dict[str, str | int] = {"after": page.position, "limit": query.limit}
        if query.types:
            named["type"] = ",".join(sorted(query.types))
        if query.job_types:
            named["jobType"] = ",".join(sorted(query.job_types))
        path = "/events?" + urlencode(named, safe=",")
        link = [(b"link", f'<{path}>; rel="next"'.encode("ascii"))]
        if NDJSON in headers.get(b"accept", b""):
            return Answer(200, lines_of(views), content_type=NDJSON, headers=[NO_STORE, *link])
        return json_answer(EventList(views, path, page.head), headers=link)

    def _stream(self, pieces: AsyncGenerator[bytes]) -> Answer:
        self._places.take()
        return StreamAnswer(
            200,
            _told(pieces),
            content_type=EVENT_STREAM,
            # Neither a cache nor a proxy that collects answers may keep it back.
            headers=[NO_STORE, (b"x-accel-buffering", b"no")],
            ended=self._places.give_back,
        )

    async def _page(self, query: EventQuery) -> tuple[list[LoggedEvent], EventsPage]:
        """At most so many events as are wanted, and how far the log was looked at."""
        begin = after = query.after or 0
        found: list[LoggedEvent] = []
        while True:
            page = await self._follower.page(after)
            _require_reached(query.after, page.head)
            for event in page.events:
                if query.wants(event):
                    found.append(event)
                    if len(found) == query.limit:
                        return found, EventsPage((), event.position, page.head)
            after = page.position
            if not page.events or after - begin >= self._examined:
                return found, EventsPage((), after, page.head)

    async def _live(self, query: EventQuery, after: int, caller: Caller) -> AsyncGenerator[bytes]:
        yield beginning(after)
        beats = Heartbeats()
        async with aclosing(self._follower.follow(after)) as pages:
            async for page in pages:
                if caller.is_revoked:  # the follower has a page at least once a second, be it an empty one
                    return
                message = b"".join(
                    message_of(_logged_view(event), event.position) for event in page.events if query.wants(event)
                )
                if message or beats.is_due():
                    beats.sent()
                    yield message or beats.beat(page.position)

    async def _live_of_job(
        self,
        job_id: str,
        query: EventQuery,
        head: int,
        past: Iterable[EventView],
        progress: FollowedProgress,
        *,
        last: int,
        caller: Caller,
    ) -> AsyncGenerator[bytes]:
        yield beginning(query.after or 0) + b"".join(message_of(event, event.position) for event in past)
        beats = Heartbeats()
        async with aclosing(self._follower.follow(head)) as pages:
            async for page in pages:
                if caller.is_revoked:  # the follower has a page at least once a second, be it an empty one
                    return
                news = [event for event in page.events if event.job_id == job_id and event.position > last]
                for event in news:
                    progress.happened(event.type, event.data)
                message = b"".join(
                    message_of(_plain_view(event), event.position) for event in news if query.wants(event)
                )
                if not message and beats.is_due():
                    message = beats.beat(max(page.position, last))
                if message:
                    beats.sent()
                # Progress is no event of the log, so who wants some types of these gets none; nor is it a place to resume from.
                if not query.types and (newest := await progress.news()) is not None:
                    message += message_of_progress(progress_view(newest))
                if message:
                    yield message


def _is_live(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    return scope.get("method") == "GET" and EVENT_STREAM in headers.get(b"accept", b"").lower()


def _require_reached(after: int | None, head: int) -> None:
    if after is not None and after > head:
        raise Problem(BEYOND_HEAD, f"the log ends at position {head}: there is no position {after} yet")


async def _told(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same; what ends them is told in the log of the service, and the client finds out when he resumes."""
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    except (LogDamaged, UnknownEventType) as exc:
        _log.error("event stream ended", error=str(exc))


def _event_view(recorded: RecordedEvent) -> EventView:
    name = type_name(recorded.event)
    return EventView(
        position=recorded.position,
        version=recorded.version,
        type=name,
        data=Raw(encode_data(recorded.event)),
        content=raw(recorded.content),
        actor=recorded.actor,
        recorded_at=timestamp(recorded.recorded_at),
        status=STATUS_AFTER[name],
    )


def _plain_view(event: LoggedEvent) -> EventView:
    status = STATUS_AFTER.get(event.type)
    if status is None:
        raise UnknownEventType(event.type, event.position)
    return EventView(
        position=event.position,
        version=event.version,
        type=event.type,
        data=Raw(event.data),
        content=raw(event.content),
        actor=event.actor,
        recorded_at=timestamp(event.recorded_at),
        status=status,
    )


def _logged_view(event: LoggedEvent) -> LoggedEventView:
    plain = msgspec.structs.asdict(_plain_view(event))
    return LoggedEventView(**plain, job_id=event.job_id, job_type=event.job_type)
