"""Many random good histories as one good log: told side by side, in the order of their own clocks, and appended for real."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.jobs_projection import PostgresJobsProjection
from adapters.postgres.stats_projection import PostgresStatsProjection
from commands.ports import Append
from domain.events import Event, RecordedEvent
from projections.runner import Runner
from tests.properties.histories import History, seeded_history
from tests.real_log import append_history, connected, register_workers, with_new_ids, workers_of


def side_by_side(histories: Sequence[History]) -> History:
    """One history of all of them: other jobs and other workers for each, positions given out anew."""
    commands: list[tuple[Append, list[RecordedEvent]]] = []
    for number, history in enumerate(map(with_new_ids, histories), start=1):
        own = _with_own_workers(history, f"{number}/")
        events = iter(own.recorded)
        commands += [(append, [next(events) for _ in append.events]) for append in own.appends]
    commands.sort(key=lambda command: command[1][0].recorded_at)  # stable: each history stays in its order
    recorded = [event for _, events in commands for event in events]
    return History(
        [append for append, _ in commands],
        [replace(event, position=position) for position, event in enumerate(recorded, start=1)],
    )


def many_histories(count: int, *, jobs: int = 3, commands: int = 30, seed: int = 0) -> list[History]:
    """So many histories, the same for the same seed."""
    return [seeded_history(seed + number, jobs=jobs, commands=commands) for number in range(count)]


async def append_for_real(url: str, history: History, *, batch: int = 2_000) -> None:
    """Append it all by append_events, then set the log's clock back to the history's, and let the projector read it all.

    The clock is the only thing that is not the service's own: histories wait for days.
    """
    with connected(url) as db:
        register_workers(db, workers_of(history))
        async with PostgresEventLog(url, application="good log", patience=20.0) as log:
            await append_history(log, history.appends, batch=batch)
        with db.transaction():
            db.execute("alter table events disable trigger immutable_rows")
            db.execute(
                "update events e set recorded_at = h.at from unnest(%s::bigint[], %s::timestamptz[]) as h (position, at)"
                " where e.position = h.position",
                [[e.position for e in history.recorded], [e.recorded_at for e in history.recorded]],
            )
            db.execute("alter table events enable always trigger immutable_rows")
        db.execute("vacuum analyze events")
    await project_all(url)
    await count_all(url)
    with connected(url) as db:
        db.execute("update dispatcher_lease set relayed_position = (select max(position) from events)")


async def project_all(url: str) -> None:
    """Bring `jobs` to the head of the log."""
    await _to_the_head(PostgresJobsProjection(url))


async def count_all(url: str, *, page: int = 20_000, prune_after: int = 1_000_000) -> None:
    """Bring `stats` to the head of the log."""
    await _to_the_head(PostgresStatsProjection(url, page=page, prune_after=prune_after))


async def _to_the_head(projection: PostgresJobsProjection | PostgresStatsProjection) -> None:
    try:
        runner = Runner(projection=projection)
        while await runner.step() == 0.0:
            pass
    finally:
        await projection.aclose()


def _with_own_workers(history: History, prefix: str) -> History:
    workers = workers_of(history)

    def renamed(event: Event) -> Event:
        worker = getattr(event, "worker", None)
        return event if worker is None else replace(event, worker=prefix + worker)

    def actor(name: str) -> str:
        return prefix + name if name in workers else name

    return History(
        [
            replace(
                append,
                events=[replace(new, event=renamed(new.event)) for new in append.events],
                actor=actor(append.actor),
            )
            for append in history.appends
        ],
        [replace(e, event=renamed(e.event), actor=actor(e.actor)) for e in history.recorded],
    )
