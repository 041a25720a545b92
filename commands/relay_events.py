"""Relay the log onto the queue, and make the queue again whenever it is not what the log says. No clock, no technology.

The mark (how far it is relayed) lies beside the entries and shares their fate, so nothing here has to be remembered over a
crash, and of two relays that run at once one is refused and goes on from what it then finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import DEBUG, getLogger

from msgspec import ValidationError

from commands.ports import LogDamaged, QueueEntry
from commands.queue_ports import (
    BEGINNING,
    STREAMS,
    ForeignQueue,
    LogEvent,
    LogPage,
    Mark,
    QueuedPage,
    QueueFeed,
    QueueState,
    RelayQueue,
)
from domain.errors import UnknownEventType
from domain.events import EVENT_TYPES, Created, Queued, decode_data, queues_at_once

_log = getLogger(__name__)

PAGE = 1_000  # events or jobs in one round trip: some milliseconds of Redis's only thread
# Positions behind from which the jobs that are queued are relayed instead of all that ever was: the log's old events would be
# added, read and refused one by one. Below it, the log is as quick and does not ask the projector.
FAR_BEHIND = 10_000


class Relay:
    """Brings the queue to the log's head, step by step.

    Call `step` until it answers False, then again when something was appended, and at least once a second: an idle step finds
    a queue that was emptied. After an exception go on calling, more slowly; nothing is lost by it.
    """

    def __init__(self, *, queue: RelayQueue, feed: QueueFeed, page: int = PAGE, far_behind: int = FAR_BEHIND) -> None:
        self._queue = queue
        self._feed = feed
        self._page = page
        self._far_behind = far_behind
        self._state: QueueState | None = None  # what we believe; None: look first
        self._relayed_position: int | None = None
        self._from_jobs = False
        self._just_reset = False
        self._was_whole = False  # whether the queue ever was
        self.relayed_entries = 0  # added to the queue so far
        self.resets = 0  # how often the queue was made again so far

    @property
    def relayed_position(self) -> int | None:
        """The position up to which the queue was made when last seen; None: never seen."""
        return self._relayed_position

    async def step(self) -> bool:
        """Relay one page, or mend what is found; answers whether more is known to wait.

        Raises Unavailable; ForeignQueue, LogDamaged and UnknownEventType (with the position) say that a person must act: what
        comes before is relayed, and each further call says the same until it is mended.
        """
        state, self._state = self._state, None  # after any exception: look first
        if state is None:
            state = await self._queue.inspect()
        mark = state.mark
        self._relayed_position = mark.position
        # From the mark itself on, so that another event there, or the log's end before it, is seen.
        page = await self._feed.log_page(begin=mark.position, limit=1 if self._from_jobs else self._page + 1)
        if state.log_id is not None and state.log_id != page.log_id:
            raise ForeignQueue(found=state.log_id, own=page.log_id)
        wrong = _what_is_wrong(state, page)
        if wrong is not None:
            return await self._reset(state, page.log_id, wrong)

        target, entries = await self._next(page, mark)
        found = await self._queue.relay(state, target, entries)
        if found is not None:  # another relay, a lost reply of our own, or somebody who touched the queue
            self._state = found
            return True
        self._just_reset = False
        self._was_whole = True
        self.relayed_entries += len(entries)
        if _log.isEnabledFor(DEBUG):
            _tell(entries, page)
        self._state = state.after(target, entries)
        self._relayed_position = target.position
        return target.position < page.head

    async def _next(self, page: LogPage, mark: Mark) -> tuple[Mark, list[QueueEntry]]:
        """What to relay next, and the mark after it."""
        if page.head - mark.position > self._far_behind:
            jobs = await self._feed.queued_page(after=mark.position, limit=self._page)
            # A checkpoint that is hardly ahead gives hardly anything: then the log is the quicker way.
            if jobs.log_id == page.log_id and jobs.checkpoint.position - mark.position > self._far_behind:
                self._from_jobs = True
                return _next_of_jobs(jobs, is_full=len(jobs.entries) == self._page)
        if self._from_jobs:  # only the mark was asked for
            self._from_jobs = False
            page = await self._feed.log_page(begin=mark.position, limit=self._page + 1)
        return _next_of_log(page, mark)

    async def _reset(self, found: QueueState, log_id: str, wrong: str) -> bool:
        self._state = await self._queue.reset(found, log_id=log_id)
        self._from_jobs = False
        if self._state.is_whole:  # else somebody touched it in between
            self.resets += 1
            fields = {"reason": wrong, "relayed_position": found.mark.position}
            if found == QueueState() and not self._was_whole:  # as at a first start
                _log.info("the queue is made", extra=fields)
            else:
                _log.warning("the queue is made again", extra=fields)
        # Twice without a page relayed in between: somebody keeps writing to it. No hot loop then.
        again, self._just_reset = self._just_reset, True
        return not again


def _what_is_wrong(state: QueueState, page: LogPage) -> str | None:
    """Why the queue must be made again; None: it may be behind, and that is all."""
    mark = state.mark
    if state.log_id is None:
        return "nothing is there"
    if not state.is_whole:
        return "a stream or its group is gone, or somebody else wrote to it"
    if mark == BEGINNING:
        return None
    if page.head < mark.position:
        return "it is ahead of the log"
    if not page.events or page.events[0].position != mark.position:
        raise LogDamaged(f"the log has a gap at position {mark.position}")
    there = page.events[0]
    is_same_time = mark.recorded_ms in (0, there.recorded_ms)
    if (there.job_id, there.version) != (mark.job_id, mark.version) or not is_same_time:
        return "another event is at its position"
    return None


def _next_of_log(page: LogPage, mark: Mark) -> tuple[Mark, list[QueueEntry]]:
    """The entries of the page's events after `mark`, and the mark after them. What cannot be read ends the page, or is raised
    if it comes first."""
    before = mark
    entries: list[QueueEntry] = []
    for event in page.events:
        if event.position <= before.position:  # the mark itself
            continue
        try:
            entry = _entry_of(event, expected=mark.position + 1)
        except (LogDamaged, UnknownEventType):
            if mark is before:
                raise
            break
        if entry is not None:
            entries.append(entry)
        mark = Mark(event.position, event.job_id, event.version, event.recorded_ms)
    return mark, entries


def _entry_of(event: LogEvent, *, expected: int) -> QueueEntry | None:
    """The entry that an event makes, if any. Raises UnknownEventType; LogDamaged if it is not at the position `expected`."""
    if event.position != expected:
        raise LogDamaged(f"the log has a gap at position {expected}")
    if event.data is None:
        if event.type not in EVENT_TYPES:
            raise UnknownEventType(event.type, event.position)
        return None
    try:
        fact = decode_data(event.type, event.data)
    except ValidationError as exc:
        raise LogDamaged(f"the {event.type} at position {event.position} cannot be read: {exc}") from exc
    if not isinstance(fact, (Created, Queued)) or not queues_at_once(fact):
        return None
    entry_id = f"{event.position}-0"
    return QueueEntry(STREAMS[fact.priority], entry_id, event.job_id, event.version, fact.type, fact.attempt)


def _tell(entries: Sequence[QueueEntry], page: LogPage) -> None:
    """A line for each entry that was added, for those who follow a job through the logs of all processes."""
    facts = {event.position: decode_data(event.type, event.data) for event in page.events if event.data is not None}
    for entry in entries:
        position = int(entry.entry_id.partition("-")[0])
        fields: dict[str, object] = {"job_id": entry.job_id, "attempt": entry.attempt, "position": position}
        fact = facts.get(position)
        if isinstance(fact, Created | Queued) and fact.trace is not None:
            fields["trace_id"] = fact.trace
        _log.debug("job put into the queue", extra=fields | {"stream": entry.stream})


def _next_of_jobs(jobs: QueuedPage, *, is_full: bool) -> tuple[Mark, list[QueueEntry]]:
    """The entries of the jobs, and the mark after them: that of the last one, or the checkpoint if there are no more."""
    if not is_full:
        return jobs.checkpoint, jobs.entries
    last = jobs.entries[-1]
    return Mark(int(last.entry_id.partition("-")[0]), last.job_id, last.version), jobs.entries
