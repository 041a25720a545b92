"""The rules of the simulated service: what may happen, in any order. Hypothesis draws; nothing else is random."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.redis.names import GROUP
from commands.ports import IdempotencyKey
from commands.queue_ports import STREAMS
from domain.events import Priority
from tests.properties.simulation.faults import FAULT_KINDS, PLACES, Fault
from tests.properties.simulation.processes import LOOPS, REFUSED, NewJob, appends_before, work_on
from tests.properties.simulation.service import ALL_TYPES, Service
from tests.properties.simulation.worker_process import STUBBORN, TIMEOUT
from tests.properties.simulation.world import World

_TYPES: tuple[tuple[str, ...], ...] = (ALL_TYPES, ("A",))  # what a worker may know
_MOST_WORKERS = 3
_HARMS = (
    "copy",
    "roll back",
    "flush",
    "delete a stream",
    "destroy a group",
    "add a foreign entry",
    "delete an entry",
    "flush the scripts",
    "go away or come back",
)
_FAULTS = st.builds(
    Fault,
    place=st.sampled_from(("log", *PLACES)),  # the log has the fewest commands, and the most to lose
    kind=st.sampled_from(FAULT_KINDS),
    nth=st.sampled_from((1, 1, 1, 2, 2, 3, 5)),
    times=st.integers(1, 2),
)
_ANY = st.integers(0, 7)  # one of those that there are, modulo their number


class SystemMachine(RuleBasedStateMachine):
    """A subclass sets `world`, once for all runs."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.service = Service(self.world)

    @initialize(
        workers=st.integers(1, 2), types=st.sampled_from(_TYPES), jobs=st.integers(1, 4), seconds=st.integers(0, 2)
    )
    def begin_in_the_middle(self, workers: int, types: tuple[str, ...], jobs: int, seconds: int) -> None:
        for _ in range(workers):
            self.service.start_a_worker(types)
        self.create(0, jobs, "A", "default", b"1", 2, None, is_done=True)
        for _ in range(seconds):
            self.service.work_together()

    # What clients do.

    @rule(
        api=st.integers(0, 1),
        count=st.integers(1, 3),
        type=st.sampled_from("AB"),
        priority=st.sampled_from(("default", "high")),
        payload=st.sampled_from((b"1", b"1", STUBBORN, REFUSED)),
        max_attempts=st.integers(1, 3),
        delay=st.sampled_from((None, None, 0.0, 0.2, 5.0)),
        is_done=st.booleans(),
    )
    def create(
        self,
        api: int,
        count: int,
        type: str,
        priority: Priority,
        payload: bytes,
        max_attempts: int,
        delay: float | None,
        is_done: bool,
    ) -> None:
        wanted = [NewJob(type, priority, payload, max_attempts, delay)]
        wanted += [NewJob(type, priority, b"%d" % n, max_attempts, None) for n in range(1, count)]
        asked = self.service.apis[api]
        asked.begin(asked.create(wanted))
        if is_done:
            work_on(self.world, asked, 100)

    @rule(api=st.integers(0, 1), key=st.sampled_from("kl"), digest=st.sampled_from((b"1", b"2")))
    def create_with_a_key(self, api: int, key: str, digest: bytes) -> None:
        asked = self.service.apis[api]
        asked.begin(asked.create_with_key(NewJob("A", "default", digest, 2, None), IdempotencyKey(key, digest)))

    @precondition(lambda self: self.service.model.jobs)
    @rule(api=st.integers(0, 1), job=_ANY, what=st.sampled_from(("get", "cancel", "retry")))
    def ask(self, api: int, job: int, what: str) -> None:
        jobs = self.service.newest_jobs()
        job_id = jobs[job % len(jobs)].id
        asked = self.service.apis[api]
        if what == "get":
            self.service.model.judge_row(self.world.io(self.world.jobs.find(job_id)), job_id)
        else:
            asked.begin(asked.retry(job_id) if what == "retry" else asked.cancel(job_id))

    # What processes do.

    @precondition(lambda self: any(process.calls for process in self.service.awake))
    @rule(process=_ANY, calls=st.integers(1, 6), fault=st.none() | _FAULTS)
    def go_on(self, process: int, calls: int, fault: Fault | None) -> None:
        self.world.faults.plan(fault)
        busy = [process for process in self.service.awake if process.calls]
        work_on(self.world, busy[process % len(busy)], calls)

    @precondition(lambda self: self.service.waiting())
    @rule(call=st.integers(0, 15), fault=st.none() | _FAULTS, is_answered=st.booleans())
    def perform(self, call: int, fault: Fault | None, is_answered: bool) -> None:
        waiting = self.service.waiting()
        process, chosen = waiting[call % len(waiting)]
        self.world.faults.plan(fault)
        self.world.perform(*appends_before(process, chosen))
        if is_answered:
            process.deliver(chosen)

    @precondition(lambda self: self.service.answered())
    @rule(call=_ANY)
    def answer(self, call: int) -> None:
        answered = self.service.answered()
        process, chosen = answered[call % len(answered)]
        process.deliver(chosen)

    @rule(dispatcher=st.integers(0, 1), what=st.sampled_from(LOOPS), is_done=st.booleans(), fault=st.none() | _FAULTS)
    def dispatch(self, dispatcher: int, what: str, is_done: bool, fault: Fault | None) -> None:
        self.world.faults.plan(fault)
        acting = self.service.dispatchers[dispatcher]
        if is_done:
            self.service.finish(acting, what)
        elif not acting.is_stopped:
            acting.step(what)

    @rule(fault=st.none() | _FAULTS, pages=st.integers(1, 3))
    def project(self, fault: Fault | None, pages: int) -> None:
        self.world.faults.plan(fault)
        for _ in range(pages):
            self.world.fold()

    @precondition(lambda self: len(self.service.workers) < _MOST_WORKERS)
    @rule(types=st.sampled_from(_TYPES))
    def start_a_worker(self, types: tuple[str, ...]) -> None:
        self.service.start_a_worker(types)

    @precondition(lambda self: self.service.running())
    @rule(attempt=_ANY, how=st.sampled_from(("success", "success", "error", "permanent", "later")))
    def end_an_attempt(self, attempt: int, how: str) -> None:
        running = self.service.running()
        self.service.end_an_attempt(*running[attempt % len(running)], how)

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0, 12.0, TIMEOUT)))
    def time_passes(self, seconds: float) -> None:
        self.service.pass_time(seconds)
        self.service.beat()

    @rule(seconds=st.integers(6, 20))  # more than a watcher may look away
    def all_sleep(self, seconds: float) -> None:
        self.service.pass_time(seconds)

    @rule(seconds=st.integers(6, 24), watcher=st.integers(0, 1))
    def time_passes_and_somebody_watches(self, seconds: int, watcher: int) -> None:
        for _ in range(0, seconds, 3):
            self.service.pass_time(3.0)
            self.service.beat()
            self.service.finish(self.service.dispatchers[watcher], "watch")

    @rule(seconds=st.integers(1, 3), fault=st.none() | _FAULTS)
    def all_go_on(self, seconds: int, fault: Fault | None) -> None:
        self.world.faults.plan(fault)
        for _ in range(seconds):
            self.service.work_together()

    # What goes wrong.

    @rule(process=_ANY, under_way=st.none() | _FAULTS)
    def kill(self, process: int, under_way: Fault | None) -> None:
        """Between two steps; or with a call under way, of which nobody hears any more."""
        living = self.service.processes
        self.service.kill(living[process % len(living)], under_way=under_way)

    @rule(process=_ANY)
    def stop_or_continue(self, process: int) -> None:
        living = self.service.processes
        self.service.stop_or_continue(living[process % len(living)])

    @precondition(lambda self: self.service.workers)
    @rule(worker=_ANY)
    def terminate(self, worker: int) -> None:
        acting = self.service.workers[worker % len(self.service.workers)]
        if not acting.is_stopped:
            acting.ask_to_stop()

    @precondition(lambda self: self.world.faults.delayed)
    @rule(which=_ANY)
    def a_delayed_command_arrives(self, which: int) -> None:
        self.world.let_delayed_arrive(which % len(self.world.faults.delayed))

    @rule(what=st.sampled_from(_HARMS), stream=st.sampled_from(list(STREAMS.values())))
    def harm_redis(self, what: str, stream: str) -> None:
        redis = self.world.by_hand
        match what:
            case "copy":
                self.world.copy_redis()
            case "roll back" if self.world.copy is not None:
                self.world.roll_redis_back()
            case "flush":
                redis.flushdb()
            case "delete a stream":
                redis.delete(stream)
            case "destroy a group" if redis.exists(stream):
                redis.xgroup_destroy(stream, GROUP)
            case "add a foreign entry":
                redis.xadd(stream, {"hello": "world"})
            case "delete an entry" if redis.exists(stream):
                self.service.needs_mending = True
                for entry_id, _ in redis.xrange(stream, count=1):
                    redis.xdel(stream, entry_id)
            case "flush the scripts":
                redis.script_flush()
            case "go away or come back":
                self.world.faults.redis_is_away = not self.world.faults.redis_is_away

    # Everything but the newest events are there again; so rarely that it does not keep everything else from happening.
    @precondition(lambda self: not self.service.needs_mending and len(self.service.model.events) > 8)
    @rule(events=st.integers(1, 8))
    def restore_postgres(self, events: int) -> None:
        self.service.restore_postgres(len(self.service.model.events) - events)

    @invariant()
    def everybody_runs_what_is_his(self) -> None:
        self.service.judge_workers()

    def judge_end(self) -> None:
        """Heal everything, let the work be finished, and judge what came of it."""
        self.service.heal()
        self.service.drain()
        self.service.judge_end()

    def teardown(self) -> None:
        try:
            self.judge_end()
        finally:
            self.service.end()
