"""How long the service takes to go on after one thing is gone: each measure breaks it, looks when work goes on, and mends it.

Seconds of this machine's monotonic clock, seen from outside: in what jobs' code writes down, in answers, in the servers, at which
it looks every 10 ms.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uuid_utils
from msgspec import Struct

from adapters.postgres.event_log import PostgresEventLog
from adapters.redis.names import RELAY
from commands.ports import Append
from domain.job import create
from tests.faults.cluster import WORKERS, Cluster
from tests.faults.folding import row_held, until_folding

_PAGE = 1_000  # jobs in one append
_FILL_SECONDS = 600.0  # that a million jobs may take to be appended, relayed and folded, on a busy machine
_POSTERS = 4  # that ask for a job each, one after the other, while PostgreSQL is away
_PAUSE = 0.02  # seconds between two requests of one of them
_POST_SECONDS = 30.0


class Measure(Struct, frozen=True):
    """`take` gives the seconds of one run, of which `target` are allowed. Raises AssertionError if the service does not go on."""

    name: str
    what: str
    target: float
    take: Callable[[Cluster], float]


def worker_killed(cluster: Cluster) -> float:
    """From the death of a worker until the code of the job that it ran begins elsewhere."""
    gate = cluster.gate()
    job_id = cluster.post("GATED", {"gate": str(gate)})
    cluster.until_begun(job_id)
    [started] = [one for one in cluster.log(job_id) if getattr(one.event, "worker", None)]
    victim = cluster.process_of(started.actor).name
    began = time.monotonic()
    cluster.kill(victim)
    cluster.until_begun(job_id, attempt=2)
    [again] = [fact for fact in cluster.tally(job_id, "begin") if fact["attempt"] == 2]
    gate.touch()
    cluster.until_ended(job_id)
    cluster.start(victim)
    return float(again["at"]) - began


def dispatcher_killed(cluster: Cluster) -> float:
    """From the death of the dispatcher that leads until a job that was posted then runs."""
    leader = cluster.leader()
    began = time.monotonic()
    cluster.kill(leader)
    job_id = cluster.post("TALLIED")
    cluster.until_begun(job_id)
    [fact] = cluster.tally(job_id, "begin")
    cluster.until_ended(job_id)
    cluster.start(leader)
    return float(fact["at"]) - began


def projector_killed(cluster: Cluster) -> float:
    """From the death of a projector in the middle of a page until `jobs` has all that was in the log then."""
    gate = cluster.gate()
    job_id = cluster.post("GATED", {"gate": str(gate)})
    cluster.until(lambda: cluster.ask("select state from jobs where id = %s", job_id) == [("Started",)])
    with row_held(cluster, job_id):
        gate.touch()
        victim = until_folding(cluster)
        began = time.monotonic()
        cluster.kill(victim)
        head = cluster.head()
    cluster.until(lambda: cluster.checkpoint() >= head, saw=cluster.standing)
    took = time.monotonic() - began
    cluster.until_ended(job_id)
    cluster.start(victim)
    return took


def redis_emptied(count: int) -> Callable[[Cluster], float]:
    """From FLUSHALL with so many jobs queued until all of them are in the streams again. They stay there, and no worker runs."""

    def take(cluster: Cluster) -> float:
        cluster.end(*(name for name in WORKERS if cluster[name].is_running))
        _fill(cluster, count)
        began = time.monotonic()
        cluster.redis.flushall()
        cluster.until(lambda: _is_queued(cluster, count), within=_FILL_SECONDS, saw=cluster.standing)
        return time.monotonic() - began

    return take


def postgres_restarted(cluster: Cluster) -> float:
    """From the first answer of PostgreSQL, restarted in immediate mode, until a job is accepted; 0 if one was by then."""
    with _posting(cluster) as answers:
        cluster.until(lambda: any(status == 201 for status, _ in answers))
        cluster.postgres.stop(signal.SIGQUIT)
        gone = time.monotonic()
        cluster.postgres.start()
        answers_again = time.monotonic()
        cluster.until(lambda: any(status == 201 and at > gone for status, at in answers), saw=lambda: answers[-5:])
    assert {status for status, _ in answers} <= {201, 503}, sorted({status for status, _ in answers})
    first = min(at for status, at in answers if status == 201 and at > gone)
    return max(0.0, first - answers_again)


def redis_away(seconds: float) -> Callable[[Cluster], float]:
    """The slowest answer of 201 while Redis is away for so long; every request must be answered so."""

    def take(cluster: Cluster) -> float:
        cluster.valkey.kill()
        slowest, accepted, over = 0.0, [], time.monotonic() + seconds
        while time.monotonic() < over:
            began = time.monotonic()
            accepted.append(cluster.post("TALLIED"))  # which must be accepted
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(_PAUSE)
        cluster.valkey.start()
        cluster.until_ended(*accepted)
        return slowest

    return take


@contextmanager
def _posting(cluster: Cluster) -> Iterator[list[tuple[int, float]]]:
    """Around a time in which jobs are asked for all along: statuses, and when they came. A cut connection counts as none."""
    answers: list[tuple[int, float]] = []
    over = threading.Event()

    def post_on(url: str) -> None:
        with httpx.Client(base_url=url, timeout=_POST_SECONDS, trust_env=False) as http:
            while not over.wait(_PAUSE):
                status = http.post("/jobs", json={"type": "TALLIED", "payload": None}).status_code
                answers.append((status, time.monotonic()))

    urls = (cluster.api_urls * _POSTERS)[:_POSTERS]
    threads = [threading.Thread(target=post_on, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _fill(cluster: Cluster, count: int) -> None:
    """Queue what is missing to so many jobs, and wait until queue and `jobs` stand at the log's head."""
    missing = count - cluster.queue_length()
    asyncio.run(_append_created(cluster.postgres.url, missing))
    cluster.until(lambda: _is_queued(cluster, count), within=_FILL_SECONDS, saw=cluster.standing)
    cluster.until(lambda: cluster.checkpoint() == cluster.head(), within=_FILL_SECONDS, saw=cluster.standing)


async def _append_created(url: str, count: int) -> None:
    async with PostgresEventLog(url, application="recovery") as log:
        for done in range(0, count, _PAGE):
            events = create(type="TALLIED", priority="default", payload=b'{"number":7}', max_attempts=3)
            await log.append(
                [
                    Append(str(uuid_utils.uuid7()), expected=0, events=events, actor="recovery")
                    for _ in range(min(_PAGE, count - done))
                ]
            )


def _is_queued(cluster: Cluster, count: int) -> bool:
    relayed = cluster.redis.hget(RELAY, "position")
    # There may be more entries: while the queue is short, it is made from the log, with what was over long ago.
    return cluster.queue_length() >= count and int(str(relayed or 0)) == cluster.head()
