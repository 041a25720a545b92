"""The same works with ten million jobs there already, held against the empty system, run by run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType

from benchmarks.bench import Bench, Contender, Run, Work
from benchmarks.history import job_ids
from benchmarks.jobledger_service import Jobledger, aged_database
from benchmarks.processes import BenchFailed, until
from benchmarks.service import ALL as EVERYTHING
from benchmarks.service import load_result
from benchmarks.works import drain, end_to_end, exports, latency, post

_KNOWN_JOBS = 50_000  # that GETs ask for at random
_STEADY_RATE = 400  # requests a second, half of them GETs


class Grown(Jobledger):
    """Jobledger on the database with the long past."""

    def _make_database(self) -> str:
        return self.bench.servers.url_of(aged_database(self.bench.servers, jobs=self.bench.sizes.large_jobs))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # What a run leaves queued would be the next one's work.
            if exc is None and "worker" not in self._counts:
                self.start_also("worker")
                until(self._is_idle, what="what was left queued is done")
        finally:
            super().__exit__(kind, exc, traceback)

    def _is_idle(self) -> bool:
        [[is_open]] = self.db.execute(
            "select exists (select from jobs where state <> 'Completed' and queued_position is not null)"
        )
        return self._projected() == self._head() and not is_open and self._running() == 0

    def _running(self) -> int:
        [[count]] = self.db.execute("select count(*) from jobs where worker is not null")
        return int(count)


def _finding(kind: type[Jobledger], bench: Bench) -> Run:
    """GET of single jobs at a steady rate, all over the table, beside as many POSTs that are run."""
    with kind(bench) as service:
        service.warm_up()
        known = job_ids(service.url, count=min(_KNOWN_JOBS, 10 * bench.sizes.large_jobs))
        # Once before: what is asked for then is as warm, in both, as it ever is.
        asked = {"rate": _STEADY_RATE, "job_ids": known}
        load_result(service.load("steady", seconds=bench.sizes.seconds / 2, **asked))
        found = load_result(service.load("steady", seconds=2 * bench.sizes.seconds, **asked))
        if "p99" not in found["get"]:
            raise BenchFailed("no GET was sent")
        return Run(
            value=found["get"]["p99"], more={"GET p50 ms": found["get"]["p50"], "POST p99 ms": found["post"]["p99"]}
        )


def _both(name: str, work: Work, run: Callable[[type[Jobledger], Bench], Run]) -> Work:
    return Work(
        name=f"large-{name}",
        title=f"{work.title}: empty, and with 10,000,000 jobs",
        unit=work.unit,
        per=work.per,
        is_less_better=work.is_less_better,
        contenders=[
            Contender(name="Jobledger, empty before", side="Jobledger, empty before", run=partial(run, Jobledger)),
            Contender(
                name="Jobledger, 10,000,000 jobs before",
                side="Jobledger, 10,000,000 jobs before",
                run=partial(run, Grown),
            ),
        ],
        about=work.about,
    )


_FINDING = Work(
    name="find",
    title="GET /jobs/{id}, p99",
    unit="ms",
    is_less_better=True,
    contenders=[],
    about="400 requests a second at random moments, half of them GETs of jobs from all over the table.",
)

ALL: list[Work] = [
    _both(
        "post", post.WITHOUT_WORKERS, lambda kind, bench: post.run(kind, ("api", "dispatcher", "projector"), 1, bench)
    ),
    _both("post-busy", post.WITH_EVERYTHING, lambda kind, bench: post.run(kind, EVERYTHING, 1, bench)),
    _both("end-to-end", end_to_end.WORK, lambda kind, bench: end_to_end.run(kind, 1, 1, bench)),
    _both("drain", drain.WORK, lambda kind, bench: drain.drain_service(kind, 1, bench)),
    _both("latency", latency.WORK, latency.service_latency),
    _both("exports", exports.WORK, lambda kind, bench: exports.run(kind, 1, bench)),
    _both("find", _FINDING, _finding),
]
