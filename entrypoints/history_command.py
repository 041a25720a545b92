"""`jobledger history`: what happened to one job, and what it was after each event."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from msgspec import Raw, Struct

from domain.errors import InvalidJobId, JobledgerError
from domain.events import Queued, RecordedEvent, encode_data, type_name
from domain.ids import parse_job_id
from domain.job import Job
from domain.moment import timestamp
from entrypoints.job_state import JobState, job_state, raw
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless, shortened, show_table

EPILOGUE = (
    "As JSON for programs: `jobledger history --format ndjson 0190f5fe-7c00-7a00-8000-000000000000`."
    " Example: `jobledger history 0190f5fe-7c00-7a00-8000-000000000000`"
)


def _is_job_id(_type: object, text: object) -> None:
    if isinstance(text, str):
        try:
            parse_job_id(text)
        except InvalidJobId as exc:
            raise ValueError(str(exc)) from exc


JobId = Annotated[str, Parameter(validator=_is_job_id)]


class NoSuchJob(JobledgerError):
    """The log knows no job of that id."""

    code = "no_such_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class Step(Struct, frozen=True, rename="camel"):
    """One event, and the state after it."""

    position: int
    version: int
    type: str
    data: Raw
    content: Raw
    actor: str
    recorded_at: str
    state: JobState


def history(job: JobId, /, *, format: Literal["table", "json", "ndjson"] = "table") -> int:
    """Show everything that happened to one job, and its state after each event. Read-only; may be run at any time.

    Exit codes: 0 shown; 1 there is no such job, or the log cannot be read; 2 wrong usage.

    Parameters
    ----------
    job
        The job's id.
    format
        A table for people, with contents shortened; or everything, as one JSON document or a line an event.
    """
    job_id = parse_job_id(job)
    return run_reading(lambda settings: _show(settings, job_id, format))


async def _show(settings: Settings, job_id: str, format: str) -> None:
    from adapters.postgres.job_reader import PostgresJobReader
    from adapters.postgres.replaying import read_only
    from entrypoints.which_database import database_of
    from projections.history import states_after

    async with read_only(database_of(settings), application="jobledger history") as database:
        events = await PostgresJobReader(database).history(job_id)
    if not events:
        raise NoSuchJob(job_id)
    steps = list(states_after(events))
    if format == "table":
        show_table(_HEADS, (_row(event, job) for event, job in steps), numbers=("position", "version", "attempts"))
    elif format == "json":
        document = msgspec.json.encode({"id": job_id, "events": [_step(event, job) for event, job in steps]})
        put(msgspec.json.format(document, indent=2) + b"\n")
    else:
        for event, job in steps:
            put(msgspec.json.encode(_step(event, job)) + b"\n")


def _step(event: RecordedEvent, job: Job) -> Step:
    return Step(
        position=event.position,
        version=event.version,
        type=type_name(event.event),
        data=Raw(encode_data(event.event)),
        content=raw(event.content),
        actor=event.actor,
        recorded_at=timestamp(event.recorded_at),
        state=job_state(job),
    )


_HEADS = ("position", "version", "recorded at", "event", "actor", "status", "attempts", "details")


def _row(event: RecordedEvent, job: Job) -> tuple[str, ...]:
    return (
        str(event.position),
        str(event.version),
        timestamp(event.recorded_at),
        type_name(event.event),
        harmless(event.actor),
        job.status,
        str(job.attempts),
        _details(event),
    )


def _details(event: RecordedEvent) -> str:
    """What the other columns, or the events before, do not say already."""
    said = {"attempt", "used", "trace"}
    if getattr(event.event, "worker", None) == event.actor:
        said.add("worker")
    if isinstance(event.event, Queued):
        said |= {"type", "priority", "maxAttempts"}
    return f"{facts(encode_data(event.event), without=said)}  {shortened(event.content)}".strip()


def facts(data: bytes, *, without: Collection[str] = ()) -> str:
    """The facts of an event for one cell, such as "attempt=1 worker=w1"."""
    try:
        found = _members(data)
    except msgspec.ValidationError:  # no object
        return shortened(data)
    return harmless(" ".join(f"{name}={_bare(value)}" for name, value in found.items() if name not in without))


def _bare(value: Raw) -> str:
    return bytes(value).decode().strip('"')


_members = msgspec.json.Decoder(dict[str, Raw]).decode
