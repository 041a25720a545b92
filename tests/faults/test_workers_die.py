"""Rows 1 to 4: workers that are killed, told to stop, stopped and continued, or blocked by a handler."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from random import Random

import pytest

from domain.events import Attempted, Failed, RecordedEvent, Started
from tests.faults.cluster import LIVENESS, WORKERS, Cluster
from tests.faults.run import under_load
from tests.system.service import Process

GRACE = 2  # seconds: SHUTDOWN_GRACE_SECONDS
SETTINGS = {"SHUTDOWN_GRACE_SECONDS": GRACE, "JOB_TIMEOUT_SECONDS": 2}

_PLACES = (
    *("after-read", "before-started", "after-started", "in-effect", "after-effect", "after-completed"),
    *("after-attempted", "before-acknowledged", "acknowledged"),
)
_ELSEWHERE_SECONDS = 30.0  # from the death of a worker to the next attempt of what it ran


@pytest.mark.parametrize(
    "places",
    [
        pytest.param(("after-started", "in-effect"), marks=pytest.mark.short_form, id="while an attempt runs"),
        pytest.param(_PLACES, id="each"),
    ],
)
def test_1_workers_killed_at_named_places_lose_nothing_and_their_jobs_run_elsewhere(
    cluster: Cluster, places: tuple[str, ...]
) -> None:
    with under_load(cluster) as burden:
        cluster.kill(*WORKERS)
        burden.until_more(60)  # so that each of the doomed finds work of every kind
        cluster.post_many(30, "STEPS")
        doomed = [f"worker at {place}" for place in places]
        for name, place in zip(doomed, places, strict=True):
            cluster.start(name, WORKER_CONCURRENCY=4, KILL_AT=f"{place}:2")
            cluster[name].ended()
            died = datetime.now(UTC)
            assert cluster[name].popen.returncode == -signal.SIGKILL, place
            _note_death(cluster[name], died)
        cluster.start_all(of=WORKERS)
    for name in doomed:
        _judge_losses(cluster, cluster.worker_id(name))


def test_1_workers_killed_at_random_moments_lose_nothing(cluster: Cluster) -> None:
    dice = Random(1)
    dead: list[str] = []
    with under_load(cluster) as burden:
        for _ in range(3):
            burden.until_more(dice.randrange(5, 40))
            name = dice.choice(WORKERS)
            cluster[name].kill()
            _note_death(cluster[name], datetime.now(UTC))
            dead.append(cluster.worker_id(name))
            cluster.start(name)
    for worker in dead:
        _judge_losses(cluster, worker)


@pytest.mark.parametrize("turns", [pytest.param(1, marks=pytest.mark.short_form), 3])
def test_2_workers_told_to_stop_under_load_claim_nothing_more_and_end_in_time(cluster: Cluster, turns: int) -> None:
    stopped: list[tuple[str, datetime]] = []
    with under_load(cluster, rate=40) as burden:
        gate = cluster.gate()
        for _ in range(turns):
            held = cluster.post("GATED", {"gate": str(gate)})
            burden.until_more(20)
            cluster.until(lambda: "Started" in cluster.history(held))  # noqa: B023 - called here
            name = cluster.process_of(cluster.log(held)[-1].actor).name
            told_at, told = time.monotonic(), datetime.now(UTC)
            cluster[name].signal(signal.SIGTERM)
            assert cluster[name].ended() == 0
            assert time.monotonic() - told_at < GRACE + 3  # and the end of an interpreter on a busy machine
            stopped.append((cluster.worker_id(name), told))
            cluster.start(name)
        gate.touch()
    log = cluster.log()
    released = 0
    for worker, told in stopped:
        late = [one for one in log if _starts(one, worker) and (one.recorded_at - told).total_seconds() > 0.5]
        assert late == []
        assert [one for one in log if _loses(one, worker)] == []
        assert cluster.ask("select 1 from workers where id = %s", worker) == []
        released += sum(_releases(one, worker) for one in log)
    assert released > 0


@pytest.mark.short_form
def test_3_a_worker_that_stood_still_for_longer_than_its_liveness_is_refused_and_registers_anew(
    cluster: Cluster,
) -> None:
    with under_load(cluster) as burden:
        gate = cluster.gate()
        held = cluster.post("GATED", {"gate": str(gate)})
        cluster.until(lambda: "Started" in cluster.history(held))
        [was] = [one.event.worker for one in cluster.log(held) if isinstance(one.event, Started)]
        [name] = [name for name in WORKERS if cluster[name].is_running and f"-{cluster[name].pid}-" in was]
        burden.until_more(20)
        cluster[name].pause()
        cluster.until_gone(was)
        gate.touch()  # what it runs ends the moment that it goes on
        burden.until_more(20)
        cluster[name].resume()
        cluster[name].until_said("given up, beginning anew")
        gone_at = cluster.head()
        burden.until_more(20)
    log = cluster.log()
    lost = [one for one in log if _loses(one, was)]
    assert lost
    given_up_at = min(one.position for one in lost)
    assert [one for one in log if one.actor == was and one.position > given_up_at] == []
    new = [one for one in log if isinstance(one.event, Started) and f"-{cluster[name].pid}-" in one.event.worker]
    assert any(one.position > gone_at and one.event.worker != was for one in new)  # type: ignore[union-attr]


@pytest.mark.parametrize("livenesses", [pytest.param(1.5, marks=pytest.mark.short_form), 3.0])
def test_4_a_handler_that_blocks_its_worker_is_not_lost_and_one_that_never_returns_ends(
    cluster: Cluster, livenesses: float
) -> None:
    with under_load(cluster, rate=10):
        blocking = cluster.post("BLOCKS_THE_LOOP", {"seconds": livenesses * LIVENESS})
        endless = cluster.post("NEVER_RETURNS")
        cluster.until_ended(endless, status="failed")
        cluster.until_ended(blocking)
        assert cluster.history(blocking) == ["Created", "Started", "Completed"]
        [failed] = [one.event for one in cluster.log(endless) if isinstance(one.event, Failed)]
        assert failed.outcome == "timeout"


def test_4_a_handler_that_blocks_its_worker_for_ever_is_ended_by_the_watchdog(cluster: Cluster) -> None:
    job_id = cluster.post("BLOCKS_FOR_EVER")
    cluster.until(lambda: any(not cluster[name].is_running for name in WORKERS), within=90)
    [name] = [name for name in WORKERS if not cluster[name].is_running]
    assert cluster[name].ended() == 70
    assert cluster[name].said("the event loop is blocked by a handler: ending this process")
    cluster.until_ended(job_id, status="failed")
    [failed] = [one.event for one in cluster.log(job_id) if isinstance(one.event, Failed)]
    assert failed.outcome == "lost"
    cluster.start(name)


_deaths: dict[int, datetime] = {}


def _note_death(process: Process, at: datetime) -> None:
    _deaths[process.pid] = at


def _judge_losses(cluster: Cluster, worker: str) -> None:
    """What that worker left was closed as lost, was counted, and was tried again elsewhere in time."""
    log = cluster.log()
    died = next(at for pid, at in _deaths.items() if f"-{pid}-" in worker)
    closed = {(one.job_id, one.event.attempt) for one in log if hasattr(one.event, "attempt") and _closes(one, worker)}
    for one in log:
        if _starts(one, worker):
            assert isinstance(one.event, Started)
            assert (one.job_id, one.event.attempt) in closed, one
        if _loses(one, worker) and isinstance(one.event, Attempted):
            following = next(
                other
                for other in log
                if other.job_id == one.job_id and other.position > one.position and isinstance(other.event, Started)
            )
            assert isinstance(following.event, Started)
            assert following.event.worker != worker
            assert following.event.attempt == one.event.attempt + 1
            assert (following.recorded_at - died).total_seconds() < _ELSEWHERE_SECONDS, (died, following)


def _starts(one: RecordedEvent, worker: str) -> bool:
    return isinstance(one.event, Started) and one.event.worker == worker


def _closes(one: RecordedEvent, worker: str) -> bool:
    return not isinstance(one.event, Started) and getattr(one.event, "worker", None) == worker


def _loses(one: RecordedEvent, worker: str) -> bool:
    return isinstance(one.event, (Attempted, Failed)) and (one.event.worker, one.event.outcome) == (worker, "lost")


def _releases(one: RecordedEvent, worker: str) -> bool:
    return isinstance(one.event, Attempted) and (one.event.worker, one.event.outcome) == (worker, "released")
