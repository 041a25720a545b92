"""What append_events said, read as answers of EventLog; and which events a batch that was sent before may take for its own."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from psycopg import AsyncCursor

from adapters.postgres.log_encoding import AT_A_TIME, AT_ONCE, Encoded
from adapters.postgres.translating import NAME
from commands.ports import Answer, Appended, Conflict, Refused, Repeated, Unavailable
from domain.events import RecordedEvent, decode_data

_COLUMNS = 17  # of append_events


class Sending:
    """One batch on its way: which of the events that it finds in the log may be its own."""

    def __init__(self, *, after: int) -> None:
        self.in_doubt = False  # whether it was sent before, and its answer lost
        self._after = after  # the highest position that anybody here had been told of before it was first sent
        self._given: set[tuple[bytes, int]] = set()  # job and version of what was given to a command in this try

    def begin_try(self) -> None:
        """It is sent (again)."""
        self._given.clear()

    def owns(self, encoded: Encoded, position: int | None) -> bool:
        """Whether the event at that position can be of this command: not an older one of the same kind, such as an earlier
        claim of the same entry, nor one that stands before it in the batch."""
        is_new = position is not None and position > self._after
        return self.in_doubt and is_new and (encoded.job_id, encoded.command.expected) not in self._given

    def give(self, encoded: Encoded) -> None:
        """The command has its event."""
        self._given.add((encoded.job_id, encoded.command.expected))


async def rows_of(cursor: AsyncCursor[Any], count: int) -> list[tuple[Any, ...]]:
    """All rows, which are in this process already but not Python's yet; others have a turn where there are many."""
    if count <= AT_ONCE:
        return await cursor.fetchall()
    rows: list[tuple[Any, ...]] = []
    while part := await cursor.fetchmany(AT_A_TIME):
        rows += part
        await asyncio.sleep(0)
    return rows


def answer_of(row: tuple[Any, ...], encoded: Encoded, sending: Sending) -> Answer:
    """What became of the command. Raises Unavailable for what this release does not know."""
    (
        _command,
        outcome,
        position,
        recorded_at,
        found_type,
        found_data,
        found_actor,
        last_version,
        last_type,
        found_job_id,
        found_digest,
        *granted,
    ) = row[:_COLUMNS]
    command = encoded.command
    mine = (
        sending.in_doubt
        and found_type == encoded.types[0]
        and found_actor == command.actor
        and found_data == encoded.datas[0].decode()
        and sending.owns(encoded, position)
    )
    # A key that was remembered together with my own event has been used by nobody else.
    if outcome == "appended" or (mine and (outcome != "repeated" or found_job_id == command.job_id)):
        sending.give(encoded)
        return Appended(position, recorded_at, _history(command.job_id, command.expected, *granted))
    match outcome:
        case "conflict":
            return Conflict(found_type, last_version or 0, last_type)
        case "repeated":
            return Repeated(found_job_id, found_digest)
        case "refused":
            return Refused()
        case _:
            raise Unavailable(
                f"append_events answered {outcome!r}: its schema does not fit this release", dependency=NAME
            )


def _history(
    job_id: str,
    queued_version: int,
    created_data: str | None,
    created_position: int,
    created_at: datetime,
    payload: str | None,
    queued_data: str | None,
    queued_position: int,
) -> tuple[RecordedEvent, ...]:
    if created_data is None:
        return ()
    content = None if payload is None else payload.encode()
    created = RecordedEvent(created_position, job_id, 1, decode_data("Created", created_data), content, "", created_at)
    if queued_data is None:
        return (created,)
    event = decode_data("Queued", queued_data)
    return (created, RecordedEvent(queued_position, job_id, queued_version, event, None, "", created_at))


def unheard_of(batch: list[Encoded], answers: list[Answer]) -> list[int]:
    """The places of conflicts that stand behind another command on the same job."""
    if not any(type(answer) is Conflict for answer in answers):
        return []
    seen: set[bytes] = set()
    unheard = []
    for place, (encoded, answer) in enumerate(zip(batch, answers, strict=True)):
        if type(answer) is Conflict and encoded.job_id in seen:
            unheard.append(place)
        seen.add(encoded.job_id)
    return unheard
