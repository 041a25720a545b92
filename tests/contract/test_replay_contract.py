"""What looking back over the whole log promises, over the fake and over PostgreSQL: at every moment, the fold of what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from adapters.postgres.replaying import PostgresReplayLog, read_only
from domain.errors import LogDamaged
from domain.events import RecordedEvent
from domain.job import Job, fold
from domain.moment import BeyondHead
from projections.replay import (
    Kind,
    LoggedEvent,
    ReplayLog,
    count_jobs,
    first_position_of,
    past_jobs,
    position_of,
    replay_events,
)
from tests.fakes.replay_log import FakeReplayLog, as_logged
from tests.properties.histories import seeded_history
from tests.real_log import connected, insert_history

MILLISECOND = timedelta(milliseconds=1)
NOW = datetime.now(UTC)


class Benches:
    """Makes a log of any events, to look back over. Pages are small, so that a short log has many."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    @asynccontextmanager
    async def over(self, events: Sequence[RecordedEvent], *, content_bytes: int = 200) -> AsyncIterator[ReplayLog]:
        if self._url is None:
            yield FakeReplayLog(events, now=NOW)
            return
        with connected(self._url) as db:
            insert_history(db, events)
        async with AsyncExitStack() as opened:
            database = await opened.enter_async_context(read_only(self._url, application="contract"))
            yield PostgresReplayLog(database, events=5, counted_events=7, content_bytes=content_bytes)


@pytest.fixture(params=["fake", "postgres"])
def benches(request: pytest.FixtureRequest) -> Benches:
    return Benches(request.getfixturevalue("postgres_url") if request.param == "postgres" else None)


def folded(log: Sequence[RecordedEvent], position: int) -> list[Job]:
    """The reference: every job as it was, in the order of ids."""
    ids = sorted({e.job_id for e in log})
    jobs = (fold(e for e in log if e.job_id == job_id and e.position <= position) for job_id in ids)
    return [job for job in jobs if job is not None]


@pytest.mark.parametrize("seed", [21, 22])
async def test_at_every_position_all_jobs_are_the_folds_of_what_had_happened(benches: Benches, seed: int) -> None:
    log = seeded_history(seed, jobs=9, commands=45).recorded
    async with benches.over(log) as replay:
        horizon = await replay.horizon()
        for position in range(len(log) + 1):
            wanted = folded(log, position)
            jobs = [job async for page in past_jobs(replay, position=position, horizon=horizon) for job in page]
            counted = await count_jobs(replay, position=position, horizon=horizon)
            assert jobs == wanted, position
            assert counted == Counter(Kind(job.status, job.type, job.priority) for job in wanted), position


async def test_every_time_is_the_position_of_the_last_event_by_then(benches: Benches) -> None:
    log = seeded_history(23, jobs=20, commands=200).recorded
    times = {e.recorded_at + near for e in log for near in (-MILLISECOND, timedelta(0), MILLISECOND)}
    async with benches.over(log) as replay:
        horizon = await replay.horizon()
        for time in sorted(at for at in times if at <= horizon.now):
            wanted = max((e.position for e in log if e.recorded_at <= time), default=0)
            assert await position_of(replay, time, horizon) == wanted, time
            first = min((e.position for e in log if e.recorded_at >= time), default=len(log) + 1)
            assert await first_position_of(replay, time, horizon) == first, time
        assert await position_of(replay, datetime.min.replace(tzinfo=UTC), horizon) == 0
        assert await first_position_of(replay, datetime.min.replace(tzinfo=UTC), horizon) == 1
        assert await first_position_of(replay, 7, horizon) == 7


async def test_the_events_of_any_range_come_whole_and_in_order(benches: Benches) -> None:
    log = seeded_history(24, jobs=9, commands=30).recorded
    async with benches.over(log, content_bytes=1) as replay:
        for first in range(1, len(log) + 1):
            for last in {first, min(first + 1, len(log)), min(first + 7, len(log)), len(log)}:
                events = [e async for page in replay_events(replay, first=first, last=last) for e in page]
                assert events == [as_logged(e) for e in log[first - 1 : last]]


async def test_what_lies_beyond_the_log_is_refused(benches: Benches) -> None:
    log = seeded_history(25, jobs=3, commands=10).recorded
    async with benches.over(log) as replay:
        horizon = await replay.horizon()
        assert await position_of(replay, len(log), horizon) == len(log)
        for moment in (len(log) + 1, 2**63 - 1, horizon.now + MILLISECOND, datetime.max.replace(tzinfo=UTC)):
            with pytest.raises(BeyondHead):
                await position_of(replay, moment, horizon)
            with pytest.raises(BeyondHead):
                await first_position_of(replay, moment, horizon)


async def test_an_empty_log_has_a_past_without_jobs(benches: Benches) -> None:
    async with benches.over([]) as replay:
        horizon = await replay.horizon()
        assert (horizon.position, horizon.last_job_id) == (0, None)
        position = await position_of(replay, horizon.now - timedelta(days=1), horizon)
        assert position == 0
        assert await count_jobs(replay, position=0, horizon=horizon) == {}
        assert [page async for page in past_jobs(replay, position=0, horizon=horizon)] == []
        assert [page async for page in replay_events(replay, first=1, last=0)] == []


@pytest.mark.parametrize("missing", [1, 2, 6, 17, 30])
async def test_a_gap_stops_the_events_after_those_before_it(benches: Benches, missing: int) -> None:
    log = [e for e in seeded_history(26, jobs=20, commands=200).recorded if e.position != missing]
    seen: list[LoggedEvent] = []

    async def replay_all(replay: ReplayLog) -> None:
        async for page in replay_events(replay, first=1, last=log[-1].position):
            seen.extend(page)

    async with benches.over(log) as replay:
        with pytest.raises(LogDamaged, match=f"no event at position {missing}$"):
            await replay_all(replay)
    assert [e.position for e in seen] == list(range(1, missing))


async def test_a_search_for_a_time_that_meets_a_gap_says_so(benches: Benches) -> None:
    whole = seeded_history(27, jobs=9, commands=40).recorded
    head = whole[-1].position
    async with benches.over([e for e in whole if e.position != (head + 1) // 2]) as replay:
        with pytest.raises(LogDamaged, match="gap"):
            await replay.position_at(whole[0].recorded_at, head=head)


async def test_what_is_appended_meanwhile_changes_nothing(benches: Benches) -> None:
    """The horizon is fixed at the start: the same log, looked at as of an earlier horizon, gives the same."""
    log = seeded_history(28, jobs=12, commands=60).recorded
    early = log[: len(log) // 2]
    async with benches.over(log) as replay:
        now = await replay.horizon()
        then = type(now)(len(early), now.now, max(e.job_id for e in early))
        jobs = [job async for page in past_jobs(replay, position=len(early), horizon=then) for job in page]
        assert jobs == folded(early, len(early))
