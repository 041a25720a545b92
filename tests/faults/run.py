"""One run of the fault suite: a load on a cluster while things break; then all is healed, the queue drains, and it is judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.faults.client_log import CommandAnswered, Got, Posted, StreamOpened, read_lines
from tests.faults.cluster import Cluster
from tests.faults.draining import until_drained
from tests.faults.job_mix import USUAL_MIX
from tests.faults.judge import judge
from tests.faults.load import Load
from tests.faults.loop_thread import LoopThread
from tests.faults.verdict import Verdict
from tests.until import until_now

DRAIN_SECONDS = 90.0  # that the queue may take to drain once all is healed, on a busy machine
_seeds = itertools.count(1)


class Burden:
    """A load that goes on in a thread while a test breaks things."""

    def __init__(self, thread: LoopThread, load: Load) -> None:
        self._thread = thread
        self._load = load
        self._running = thread.begin(load.run())
        self.verdict: Verdict | None = None  # once all is over

    @property
    def accepted(self) -> int:
        """Jobs answered with 201 so far."""
        return self._load.accepted

    @property
    def unclear(self) -> int:
        """Jobs of which nobody knows whether they were accepted."""
        return self._load.unclear

    def until_more(self, count: int, *, within: float = 60.0) -> None:
        """Wait until so many more jobs are accepted."""
        wanted = self.accepted + count
        until_now(lambda: self.accepted >= wanted, within=within, saw=lambda: (self.accepted, wanted, self.unclear))

    def stop(self) -> None:
        """Ask for no more jobs, and wait for the answers that are under way."""

        async def stop() -> None:
            self._load.stop()

        self._thread.run(stop())
        self._running.result(60)

    def settle(self) -> None:
        """Ask again for some of what is unclear."""
        self._thread.run(self._load.settle())

    def look_again(self) -> None:
        """Look at every watched job until it is over."""
        self._thread.run(self._load.look_again())


@contextmanager
def under_load(
    cluster: Cluster,
    *,
    heal: Callable[[], object] = lambda: None,
    seed: int | None = None,
    rate: float | None = 30.0,
    clients: int = 4,
    followers: int = 1,
    mix: Mapping[str, float] = USUAL_MIX,
    ignored: Sequence[str] = (),
) -> Iterator[Burden]:
    """Around what breaks things. Afterwards everything is healed (`heal` does what only the test can), drained and judged.

    `ignored`: checks that this row breaks by intent.
    """
    number = next(_seeds)
    log = cluster.directory.requests(str(number))
    load = Load(
        log,
        cluster.api_urls,
        seed=number if seed is None else seed,
        rate=rate,
        clients=clients,
        followers=followers,
        timeout=10.0,
        mix=mix,
    )
    with LoopThread("load") as thread:
        thread.run(load.__aenter__())
        try:
            burden = Burden(thread, load)
            try:
                yield burden
            finally:
                burden.stop()
            heal()
            if cluster.network is not None:
                cluster.network.heal()
            cluster.start_all()
            burden.settle()
            _drain(thread, cluster)
            burden.look_again()
        finally:
            thread.run(load.__aexit__(None, None, None))
    burden.verdict = judged(cluster, ignored=ignored)


def until_idle(cluster: Cluster) -> None:
    """Wait until every job is over, the queue is empty, and everybody stands at the log's head."""
    with LoopThread("draining") as thread:
        _drain(thread, cluster)


def _drain(thread: LoopThread, cluster: Cluster) -> None:
    draining = until_drained(cluster.postgres.url, cluster.valkey.url, within=DRAIN_SECONDS)
    try:
        thread.run(draining, within=DRAIN_SECONDS + 30)
    except AssertionError as exc:
        exc.add_note("\n".join(str(one) for one in cluster.unfinished()))
        raise


def judged(cluster: Cluster, *, ignored: Sequence[str] = ()) -> Verdict:
    """The verdict on all that the cluster did so far, which must be drained; it must be that nothing was lost or broken.

    Nor may any request have failed but by a 503.
    """
    with LoopThread("judge") as thread:
        verdict = thread.run(
            judge(
                cluster.directory,
                database_url=cluster.postgres.url,
                redis_url=cluster.valkey.url,
                liveness=cluster.liveness,
                ignored=ignored,
            ),
            within=120,
        )
    lines = read_lines(cluster.directory.all_requests())
    answers = (line for line in lines if isinstance(line, Posted | Got | CommandAnswered | StreamOpened))
    wrong = {line.status for line in answers if line.status >= 500}
    assert wrong <= {503}, wrong
    print(f"RUN {verdict.figures.line()}\n{verdict.figures.other_requests()}")
    assert verdict.passed, verdict.text()
    return verdict
