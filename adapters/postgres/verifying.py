"""What verifying asks of PostgreSQL: short statements, read-only, each a snapshot of its own; so vacuum is never held back.

What must not come in: what any answer means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg
from psycopg import AsyncConnection

from adapters.postgres.connecting import READ_ONLY, connect
from adapters.postgres.counting import COUNT_PARAMETERS, counts_of, reading_of, standing_of
from adapters.postgres.job_rows import event_of_row, job_of_row
from adapters.postgres.migrate import SchemaMismatch, known_migrations, schema_fits
from adapters.postgres.statements import load_statement
from adapters.postgres.translating import translated
from commands.ports import RejectedData
from domain.errors import UnknownEventType
from domain.events import RecordedEvent
from domain.job import TRANSITIONS, Job
from projections.counts import Counted, CountsReading, CountsStanding
from projections.verify.ports import (
    BrokenEvent,
    EventFacts,
    HastyLoss,
    JobRange,
    LogPage,
    OutOfOrder,
    Protection,
    RowDifference,
    Standing,
    Trigger,
    Unfinished,
    Unreadable,
    UnreadableData,
    WaitRules,
)

_OPTIONS = (
    f"{READ_ONLY}"
    # Parameters decide the plan (a range of ids, or a list of them), and what is in them is known to the planner only so.
    " -c plan_cache_mode=force_custom_plan"
    # A range is a small part of a table that grows for ever; several ranges are asked for at once instead.
    " -c enable_seqscan=off -c max_parallel_workers_per_gather=0"
    " -c work_mem=32MB"  # a range of 20,000 events is sorted in memory, if at all
)
_OWN_FUNCTION = re.compile(
    rb"create (?:or replace )?function events_are_immutable\(\).*?\$\$(.*?)\$\$", re.DOTALL | re.IGNORECASE
)
_LEGAL = sorted(f"{before}>{after}" for before, after in TRANSITIONS)

_triggers = msgspec.json.Decoder(list[Trigger])
_out_of_order = msgspec.json.Decoder(list[OutOfOrder])
_facts = msgspec.json.Decoder(EventFacts)
_columns = msgspec.json.Decoder(list[list[str]])
_grants = msgspec.json.Decoder(list[tuple[str, str]])
_values = msgspec.json.Decoder(dict[str, object] | None)


class PostgresLogAuditor:
    """Implements projections.verify.ports.LogAuditor over one connection. An async context manager.

    Entering raises Unavailable, and SchemaMismatch for a schema that this release cannot judge.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None

    async def __aenter__(self) -> Self:
        with translated("verify the log"):
            self._connection = await connect(
                self._database_url, application="jobledger verify", options=_OPTIONS, reads_whole_tables=True
            )
            try:
                # The table `transitions` is judged later: what is wrong with it is a finding, not a reason not to look.
                fits = await schema_fits(self._connection, ())
            except BaseException:
                await self._connection.close()
                raise
        if not fits:
            await self._connection.close()
            raise SchemaMismatch("the database's schema is not this release's: `jobledger migrate` brings it there")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def standing(self) -> Standing:
        """See LogAuditor.standing."""
        return Standing(*(await self._ask("standing"))[0])

    async def protection(self) -> Protection:
        """See LogAuditor.protection."""
        [(triggers, source, keys, grants, rules, transitions)] = await self._ask("protection")
        return Protection(
            triggers=_triggers.decode(triggers),
            has_own_function=source is not None and source.encode() == _own_function(),
            unique_keys=_columns.decode(keys),
            grants=_grants.decode(grants),
            rules=rules,
            transitions=frozenset(_grants.decode(transitions)),
        )

    async def log_page(self, first: int, last: int) -> LogPage:
        """See LogAuditor.log_page."""
        [(events, highest, digest, may_have_losses, out_of_order)] = await self._ask("log", first=first, last=last)
        found = () if out_of_order is None else _out_of_order.decode(out_of_order)
        return LogPage(events, highest, digest, may_have_losses, found)

    async def hasty_losses(
        self, first: int, last: int, *, liveness: float, unreadable: Sequence[str] = ()
    ) -> list[HastyLoss]:
        """See LogAuditor.hasty_losses."""
        rows = await self._ask("lost", first=first, last=last, liveness=liveness, unreadable=list(unreadable))
        return [HastyLoss(*row) for row in rows]

    async def losses_of(self, first: int, last: int) -> list[str]:
        """See LogAuditor.losses_of."""
        return [job_id for (job_id,) in await self._ask("losses_of", first=first, last=last)]

    async def bounds(self, *, upto: int, step: int) -> list[str]:
        """See LogAuditor.bounds."""
        return [job_id for (job_id,) in await self._ask("bounds", upto=upto, step=step)]

    async def touched(self, first: int, last: int, *, upto: int) -> list[str]:
        """See LogAuditor.touched."""
        return [job_id for (job_id,) in await self._ask("touched", first=first, last=last, upto=upto)]

    async def suspects(self, jobs: JobRange, *, upto: int) -> list[str]:
        """See LogAuditor.suspects."""
        return [job_id for (job_id,) in await self._ask("suspects", jobs, upto=upto)]

    async def broken_events(self, jobs: JobRange, *, first: int, upto: int, waits: WaitRules) -> list[BrokenEvent]:
        """See LogAuditor.broken_events."""
        rows = await self._ask(
            "jobs",
            jobs,
            first=first,
            upto=upto,
            legal=_LEGAL,
            base=waits.base,
            cap=waits.cap,
            longest_asked=waits.longest_asked,
            policy_waits_only=waits.policy_only,
        )
        return [
            BrokenEvent(job_id, version, position, type_, broken, _facts.decode(facts))
            for job_id, version, position, type_, broken, facts in rows
        ]

    async def row_differences(self, jobs: JobRange) -> list[RowDifference]:
        """See LogAuditor.row_differences."""
        return [
            RowDifference(
                job_id,
                version,
                position,
                is_in_log,
                is_in_table,
                columns,
                in_table=_values.decode(in_table or "null") or {},
                in_log=_values.decode(in_log or "null") or {},
            )
            for job_id, version, position, is_in_log, is_in_table, columns, in_table, in_log in await self._ask(
                "read_table", jobs
            )
        ]

    async def unfinished(self, jobs: JobRange, *, upto: int) -> list[Unfinished]:
        """See LogAuditor.unfinished."""
        return [Unfinished(*row) for row in await self._ask("unfinished", jobs, upto=upto)]

    async def histories(self, jobs: JobRange, *, upto: int) -> tuple[list[RecordedEvent], list[Unreadable]]:
        """See LogAuditor.histories."""
        events: list[RecordedEvent] = []
        unreadable: list[Unreadable] = []
        for job_id, *row in await self._ask("events", jobs, upto=upto):
            try:
                events.append(event_of_row(job_id, tuple(row)))
            except (UnknownEventType, msgspec.DecodeError) as exc:
                unreadable.append(Unreadable(job_id, version=row[1], position=row[0], problem=str(exc)))
        return events, unreadable

    async def folded(self, jobs: JobRange, *, upto: int) -> list[Job]:
        """See LogAuditor.folded."""
        return [job_of_row(job_id, tuple(row)) for job_id, *row in await self._ask("folded", jobs, upto=upto)]

    async def counts_standing(self) -> CountsStanding:
        """See LogCounter.counts_standing."""
        return standing_of(await self._ask("stats_standing"))

    async def counted(self, after: int, upto: int, *, second: int) -> Mapping[Counted, int]:
        """See LogCounter.counted."""
        rows = await self._ask("stats_counted", None, after=after, upto=upto, second=second, **COUNT_PARAMETERS)
        return counts_of(rows)

    async def read_counts(self, after: int) -> CountsReading:
        """See LogCounter.read_counts."""
        return reading_of(await self._ask("stats", None, after=after, **COUNT_PARAMETERS))

    async def _ask(self, question: str, jobs: JobRange | None = None, **parameters: Any) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        if jobs is not None:
            parameters |= {
                "after": jobs.after,
                "last": jobs.last,
                "ids": None if jobs.ids is None else list(jobs.ids),
                "unreadable": list(jobs.unreadable),
            }
        with _unreadable(), translated("verify the log"):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(load_statement(f"verify_{question}"), parameters)
            return await cursor.fetchall()


@contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except RejectedData as exc:
        cause = exc.__cause__
        said = (
            (cause.diag.message_primary, cause.diag.message_detail) if isinstance(cause, psycopg.Error) else (str(exc),)
        )
        raise UnreadableData(" ".join(filter(None, said))) from exc


def _own_function() -> bytes:
    # The newest migration that makes it has the say.
    sources: list[bytes] = [
        source for migration in known_migrations() for source in _OWN_FUNCTION.findall(migration.statements)
    ]
    return sources[-1]
