"""`jobledger tail`: the log as it grows, one line an event."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from contextlib import aclosing
from typing import Annotated

import msgspec
import structlog
from cyclopts import Parameter
from cyclopts.validators import Number
from msgspec import Raw, Struct
from msgspec.structs import replace

from commands.follow_log import LogFollower, LoggedEvent
from commands.outages import Outages
from domain.events import EVENT_TYPES
from domain.ids import parse_job_id
from domain.moment import timestamp
from entrypoints.history_command import JobId
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless, shortened
from entrypoints.which_database import database_of

EPILOGUE = (
    "What fails, as it fails: `jobledger tail --event Failed --event Attempted`. Everything, from the beginning, for programs:"
    " `jobledger tail --after 0 --json`. Example: `jobledger tail --type CSV_EXPORT`"
)

_POSITION, _TYPE, _JOB_TYPE = 10, 15, 14  # widths of columns


def _is_event_type(_type: object, names: object) -> None:
    for name in names if isinstance(names, list | tuple) else ():
        if name not in EVENT_TYPES:
            raise ValueError(f"{name!r} is no type of event: there are {', '.join(EVENT_TYPES)}")


class Line(Struct, frozen=True, rename="camel"):
    """One event, for programs."""

    position: int
    recorded_at: str
    type: str
    job_id: str
    version: int
    job_type: str
    data: Raw
    content: Raw
    actor: str


def tail(
    *,
    type: tuple[str, ...] = (),
    event: Annotated[tuple[str, ...], Parameter(validator=_is_event_type)] = (),
    job: tuple[JobId, ...] = (),
    after: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    json: bool = False,
) -> int:
    """Show events as they are appended, until Ctrl-C. Read-only; what it meets while PostgreSQL is away it shows afterwards.

    Each of the filters may be given several times; an event is shown if it fits one of each kind. Nothing is shown twice and
    nothing is missed: it goes by positions, and wake-ups only make it quick.

    Exit codes: 130 ended by Ctrl-C; 1 the log cannot be read; 2 wrong usage.

    Parameters
    ----------
    type
        Only events of jobs of this type.
    event
        Only events of this type, such as Failed.
    job
        Only events of the job with this id.
    after
        Begin after this position of the log, 0 for all of it; else with what comes from now on.
    json
        One JSON object a line, with everything.
    """
    wanted = _Wanted(frozenset(type), frozenset(event), frozenset(parse_job_id(one) for one in job))
    return run_reading(lambda settings: _follow(settings, wanted, after=after, as_json=json))


class _Wanted(Struct, frozen=True):
    job_types: Collection[str]
    types: Collection[str]
    jobs: Collection[str]

    def fits(self, event: LoggedEvent) -> bool:
        return (
            (not self.job_types or event.job_type in self.job_types)
            and (not self.types or event.type in self.types)
            and (not self.jobs or event.job_id in self.jobs)
        )


async def _follow(settings: Settings, wanted: _Wanted, *, after: int | None, as_json: bool) -> None:
    from adapters.postgres.event_pages import PostgresEventPages
    from adapters.postgres.wake_ups import APPENDED, AppendListener
    from entrypoints import wiring
    from entrypoints.logs import set_up_logs

    settings = replace(settings, database_url=database_of(settings))
    set_up_logs("tail", settings, to=sys.stderr)  # what is said of outages must not come between the events
    outages = Outages(report=structlog.get_logger(__name__))
    async with wiring.pool(settings, application="tail", size=1) as pool:
        follower = LogFollower(
            pages=PostgresEventPages(pool),
            listen=lambda: AppendListener(
                settings.database_url, channel=APPENDED, application="jobledger tail", outages=outages
            ),
            outages=outages,
        )
        try:
            position = await follower.head() if after is None else after
            async with aclosing(follower.follow(position)) as pages:
                async for page in pages:
                    lines = [_line(event, as_json=as_json) for event in page.events if wanted.fits(event)]
                    if lines:
                        put(b"".join(lines))
                        sys.stdout.flush()
                    elif page.events:
                        await asyncio.sleep(0)  # a Ctrl-C is heard also while nothing fits
        finally:
            follower.close()


def _line(event: LoggedEvent, *, as_json: bool) -> bytes:
    if as_json:
        line = Line(
            position=event.position,
            recorded_at=timestamp(event.recorded_at),
            type=event.type,
            job_id=event.job_id,
            version=event.version,
            job_type=event.job_type,
            data=Raw(event.data),
            content=Raw(event.content or b"null"),
            actor=event.actor,
        )
        return msgspec.json.encode(line) + b"\n"
    facts = msgspec.json.decode(event.data, type=dict[str, object])
    said = " ".join(f"{name}={harmless(str(value))}" for name, value in facts.items() if name in _TOLD)
    columns = (
        f"{event.position:>{_POSITION}}",
        timestamp(event.recorded_at),
        event.job_id,
        f"{event.type:<{_TYPE}}",
        f"{harmless(event.job_type):<{_JOB_TYPE}}",
        " ".join(part for part in (said, _content(event)) if part),
    )
    return "  ".join(columns).rstrip().encode("utf-8", "backslashreplace") + b"\n"


# What a line for people says of an event's facts; the others are in --json.
_TOLD = ("priority", "attempt", "worker", "outcome", "retryAfter", "permanent", "delay", "runAt", "reason", "trace")


def _content(event: LoggedEvent) -> str:
    """Of contents only what went wrong is worth a place on a line."""
    return shortened(event.content) if event.type in {"Attempted", "Failed", "Cancelled"} else ""
