"""What the log says of each job, in the few words that the clients' and the effects' invariants need. Read as one stream.

The log's own invariants are not judged here: that is `jobledger verify`. What it would report is read as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
from msgspec import Struct

from domain.job import STATUS_AFTER

_IN_DOUBT = "in doubt:"  # in the error of a mail that may have been sent: docs/mail.md
_ROWS_AT_ONCE = 5_000
ENDS = ("completed", "failed", "cancelled")


class Attempt(Struct):
    """One attempt, from its Started to what closed it (`closed_by` and what follows are empty while it is open)."""

    number: int
    worker: str
    started: int  # position
    isolated: bool = False  # the attempt before it was lost, so it has a process of its own
    closed: int = 0  # position
    closed_by: str = ""  # type of the event
    outcome: str = ""  # of Attempted, Failed, and a Cancelled that closed a lost attempt
    actor: str = ""  # who closed it
    in_doubt: bool = False  # its error says that a mail may have been sent

    @property
    def was_given_up(self) -> bool:
        return self.outcome == "lost"

    @property
    def may_have_left_effects(self) -> bool:
        """It has not succeeded, but nobody may say that nothing was done."""
        return self.outcome in ("lost", "timeout") or self.closed_by in ("", "Cancelled") or self.in_doubt

    @property
    def may_have_left_a_temporary_file(self) -> bool:
        """Its code was cut off, and so could not tidy up."""
        return self.was_given_up or not self.closed_by or (self.isolated and self.closed_by != "Completed")


class Story(Struct):
    """One job. `payload` is the SHA-256 of what is stored, empty if it was erased; `states` are the statuses by version.

    `events`: position and type, by version; `reasons`: the version of each event that tells one, and the reason.
    """

    job_id: str
    type: str = ""
    priority: str = ""
    payload: str = ""
    states: list[str] = []
    attempts: list[Attempt] = []
    result: str | None = None  # JSON, of CSV_EXPORT and EMAIL_SEND
    events: list[tuple[int, str]] = []
    reasons: list[tuple[int, str]] = []

    @property
    def is_completed(self) -> bool:
        return bool(self.states) and self.states[-1] == "completed"

    @property
    def is_over(self) -> bool:
        return bool(self.states) and self.states[-1] in ENDS

    def goes_on_after(self, version: int, *, by: int) -> bool:
        """Whether the job was retried when it had ended with `version`, and that is part of version `by`."""
        return version < by <= len(self.events) and self.events[version][1] == "Queued"


class _Data(Struct, frozen=True):
    type: str = ""
    priority: str = ""
    attempt: int | None = None
    worker: str | None = None
    outcome: str = ""
    reason: str | None = None


_data = msgspec.json.Decoder(_Data, strict=False).decode

# In the order of the primary key, so that no job must be kept in memory for longer than its own events.
_EVENTS = """
select e.job_id::text, e.position, e.type, e.actor, e.data::text,
       case when e.type = 'Created' then encode(sha256(convert_to(e.content::text, 'UTF8')), 'hex')
            else left(e.content::text, 2000) end
from events e order by e.job_id, e.version
"""


def read_stories(database_url: str) -> Iterator[Story]:
    """Every job of the log, by its id."""
    with psycopg.connect(database_url) as connection, connection.cursor("stories", binary=True) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(_EVENTS)
        yield from stories_of(cursor)


def read_keys(database_url: str) -> dict[str, str]:
    """The job of each idempotency key that is still kept."""
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute("select key, job_id::text from idempotency_keys").fetchall())


def stories_of(rows: Iterator[tuple[Any, ...]] | psycopg.ServerCursor[tuple[Any, ...]]) -> Iterator[Story]:
    """Put events, job by job, together: rows of (job id, position, type, actor, data, digest or content)."""
    story: Story | None = None
    for job_id, position, kind, actor, data, content in rows:
        if story is None or story.job_id != job_id:
            if story is not None:
                yield story
            story = Story(job_id, states=[], attempts=[], events=[], reasons=[])
        _tell(story, position, kind, actor, _data(data), content)
    if story is not None:
        yield story


def _tell(story: Story, position: int, kind: str, actor: str, data: _Data, content: str | None) -> None:
    story.states.append(STATUS_AFTER.get(kind, kind))
    story.events.append((position, kind))
    if data.reason is not None:
        story.reasons.append((len(story.events), data.reason))
    if kind == "Created":
        story.type, story.priority, story.payload = data.type, data.priority, content or ""
    elif kind == "Started":
        isolated = bool(story.attempts) and story.attempts[-1].outcome == "lost"
        story.attempts.append(Attempt(data.attempt or 0, data.worker or "", position, isolated=isolated))
    elif kind in ("Attempted", "Completed", "Failed", "Cancelled") and story.attempts:
        attempt = story.attempts[-1]
        if attempt.closed:
            return  # a Cancelled between two attempts closes none
        attempt.closed, attempt.closed_by, attempt.outcome, attempt.actor = position, kind, data.outcome, actor
        if kind == "Completed":
            story.result = content if story.type in ("CSV_EXPORT", "EMAIL_SEND") else None
        elif content is not None:
            attempt.in_doubt = _IN_DOUBT in content[:100]
