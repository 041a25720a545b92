"""`jobledger replay`: what was, at any moment of the log, and the events themselves."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from msgspec import Struct

from domain.ids import parse_job_id
from domain.moment import InvalidMoment, Moment, parse_moment, timestamp
from entrypoints.command_frame import WrongUsage
from entrypoints.history_command import JobId, NoSuchJob, facts
from entrypoints.job_state import job_state, raw, state_rows
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless, shortened, show_table
from projections.replay import (
    Horizon,
    LoggedEvent,
    ReplayLog,
    count_jobs,
    first_position_of,
    past_jobs,
    position_of,
    replay_events,
)

EPILOGUE = (
    "One job as it was: `jobledger replay 0190f5fe-7c00-7a00-8000-000000000000 --at-position 4711`."
    " All events of a day, a line each:"
    " `jobledger replay --from 2026-01-27T00:00:00Z --to 2026-01-27T23:59:59.999Z --format ndjson`."
    " All jobs, a line each: `jobledger replay --at-position 4711 --format ndjson`."
    " Example: `jobledger replay --as-of 2026-01-27T10:30:00Z`"
)
_LOG = "jobledger replay"  # how its connections are named


def _is_moment(_type: object, text: object) -> None:
    if isinstance(text, str):
        try:
            parse_moment(text)
        except InvalidMoment as exc:
            raise ValueError(str(exc)) from exc


Time = Annotated[str, Parameter(validator=_is_moment)]


def _is_bound(type_: object, text: object) -> None:
    _is_moment(type_, text)
    if isinstance(text, str) and parse_moment(text) == 0:
        raise ValueError("positions begin at 1")


Position = Annotated[int, Parameter(validator=Number(gte=0, lte=2**63 - 1))]
Bound = Annotated[str, Parameter(validator=_is_bound)]


class Wish(Struct, frozen=True):
    """What was asked for: the state at a moment (of one job or of all), or the events of a range."""

    format: Literal["table", "json", "ndjson"]
    job_id: str | None = None
    moment: Moment | None = None
    first: Moment | None = None
    last: Moment | None = None


def replay(
    job: JobId | None = None,
    /,
    *,
    as_of: Time | None = None,
    at_position: Position | None = None,
    from_: Annotated[Bound | None, Parameter(name="--from")] = None,
    to: Bound | None = None,
    format: Literal["table", "json", "ndjson"] = "table",
) -> int:
    """Show what was: the state at a moment, of one job or counted over all, or the events of a period.

    Read-only; may be run at any time, on a running system: it asks by short statements, and holds nothing back.

    Exit codes: 0 shown; 1 not there at that moment, beyond the log, or the log cannot be read; 2 wrong usage.

    Parameters
    ----------
    job
        A job's id. Without it: all jobs, counted by status, type and priority.
    as_of
        The moment: a time with its offset (RFC 3339), after all that was recorded by then. A position will do as well.
    at_position
        The moment right after the event at that position.
    from_
        Print the events from this position, or from this time on. Default, with --to: from the first.
    to
        Up to this position or time, that included. Default, with --from: up to the newest event as of now.
    format
        table: for people, contents are shortened. json: one document. ndjson: a line for each job, or for each event, whole.
    """
    wish = Wish(
        format=format,
        job_id=None if job is None else parse_job_id(job),
        moment=at_position if as_of is None else parse_moment(as_of),
        first=None if from_ is None else parse_moment(from_),
        last=None if to is None else parse_moment(to),
    )
    return run_reading(lambda settings: _replay(settings, wish, is_twice=as_of is not None and at_position is not None))


async def _replay(settings: Settings, wish: Wish, *, is_twice: bool) -> None:
    is_range = wish.first is not None or wish.last is not None
    if is_twice:
        raise WrongUsage("--as-of and --at-position both name the moment: give one of them")
    if is_range == (wish.moment is not None):
        raise WrongUsage(
            "give either a moment (--as-of or --at-position) or a period (--from, --to); see: jobledger replay --help"
        )
    if is_range and wish.job_id is not None:
        raise WrongUsage(f"--from and --to are of the whole log; one job's events: jobledger history {wish.job_id}")
    if is_range and wish.format == "json":
        raise WrongUsage("events are printed as they come: --format table or ndjson")
    match wish.first, wish.last:
        case (int() as first, int() as last) if first > last:
            raise WrongUsage(f"--from {first} lies after --to {last}")
        case (datetime() as begin, datetime() as end) if begin > end:
            raise WrongUsage(f"--from {timestamp(begin)} lies after --to {timestamp(end)}")

    from adapters.postgres.job_reader import PostgresJobReader
    from adapters.postgres.replaying import PostgresReplayLog, read_only
    from entrypoints.which_database import database_of

    async with read_only(database_of(settings), application=_LOG) as database:
        if wish.job_id is not None and wish.moment is not None:
            past = await PostgresJobReader(database).as_of(wish.job_id, wish.moment)
            if past is None:
                raise NoSuchJob(wish.job_id)
            if wish.format == "table":
                show_table(("field", "value"), state_rows(past.job))
            else:
                document = msgspec.json.encode(job_state(past.job))
                put((msgspec.json.format(document, indent=2) if wish.format == "json" else document) + b"\n")
            return
        log = PostgresReplayLog(database)
        horizon = await log.horizon()
        if wish.moment is None:
            await _show_events(log, wish, horizon)
            return
        position = await position_of(log, wish.moment, horizon)
        if wish.format == "ndjson":
            async with aclosing(past_jobs(log, position=position, horizon=horizon)) as pages:
                async for jobs in pages:
                    put(b"".join(_encode(job_state(job)) + b"\n" for job in jobs))
        else:
            await _show_counts(log, wish, position, horizon)


async def _show_counts(log: ReplayLog, wish: Wish, position: int, horizon: Horizon) -> None:
    counted = sorted((await count_jobs(log, position=position, horizon=horizon)).items())
    total = sum(jobs for _, jobs in counted)
    if wish.format == "json":
        document = {
            "position": position,
            "jobs": total,
            "counts": [
                {"status": kind.status, "type": kind.type, "priority": kind.priority, "jobs": jobs}
                for kind, jobs in counted
            ],
        }
        put(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        return
    as_of = "" if isinstance(wish.moment, int) or wish.moment is None else f" at {timestamp(wish.moment)},"
    put(f"{total:,} jobs{as_of} after position {position:,}\n\n")
    rows = [(kind.status, harmless(kind.type), kind.priority, f"{jobs:,}") for kind, jobs in counted]
    show_table(("status", "type", "priority", "jobs"), rows, numbers=("jobs",))


async def _show_events(log: ReplayLog, wish: Wish, horizon: Horizon) -> None:
    first = 1 if wish.first is None else await first_position_of(log, wish.first, horizon)
    last = horizon.position if wish.last is None else await position_of(log, wish.last, horizon)
    if wish.format == "table":
        put(
            _LINE.format("position", "recorded at", "job", "version", "event", "actor", "data and content").rstrip()
            + "\n"
        )
    async with aclosing(replay_events(log, first=first, last=last)) as pages:
        async for events in pages:
            put("".join(map(_table_line, events)) if wish.format == "table" else b"".join(map(_json_line, events)))


# Nobody knows the widest cell of what is still to come, so the columns are as wide as usual cells are.
_NOT_TOLD = {"trace"}  # in a table; --format has it
_LINE = "{:>10}  {:<24}  {:<36}  {:>7}  {:<15}  {:<20}  {}"


def _table_line(event: LoggedEvent) -> str:
    told = f"{facts(event.data, without={'trace'})}  {shortened(event.content)}"
    return (
        _LINE.format(
            event.position,
            timestamp(event.recorded_at),
            event.job_id,
            event.version,
            harmless(event.type),
            harmless(event.actor),
            told,
        ).rstrip()
        + "\n"
    )


def _json_line(event: LoggedEvent) -> bytes:
    # Data and content are JSON already, and most of the line: they pass through.
    return (
        b'{"position":%d,"jobId":"%b","version":%d,"type":%b,"data":%b,"content":%b,"actor":%b,"recordedAt":"%b"}\n'
        % (
            event.position,
            event.job_id.encode("ascii"),
            event.version,
            _encode(event.type),
            raw(event.data),
            raw(event.content),
            _encode(event.actor),
            timestamp(event.recorded_at).encode("ascii"),
        )
    )


_encode = msgspec.json.Encoder().encode
