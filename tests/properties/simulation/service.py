"""The whole service, simulated: its processes and their world, and how they come to the end of their work once all is well."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from adapters.redis.drained import RedisQueueAuditor
from commands.attempt import Errored, Outcome, Succeeded
from domain.job import Job
from tests.properties.simulation.faults import Fault
from tests.properties.simulation.gates import Call, Process
from tests.properties.simulation.model import Model
from tests.properties.simulation.processes import Api, Dispatcher, work_on
from tests.properties.simulation.worker_process import WorkerProcess
from tests.properties.simulation.world import World
from tests.real_log import read_log
from tests.verifying import broken, verified

ALL_TYPES = ("A", "B")
# Rounds of everybody's work, a second each, after which nothing more will happen: a worker is given up in 16.
_SILENT_ROUNDS = 25
_CALLS = 100  # of a process in one round: far more than there is to do


class Service:
    """Two apis, two dispatchers, a projector, and any number of workers. A new one begins with an empty world."""

    def __init__(self, world: World) -> None:
        world.begin()
        self.world = world
        self._names = 0
        self.apis: list[Api] = []
        self.dispatchers: list[Dispatcher] = []
        self.workers: list[WorkerProcess] = []
        self.needs_mending = False  # whether entries may have left the queue that nobody claimed
        self._start_all()

    @property
    def model(self) -> Model:
        return self.world.model

    @property
    def processes(self) -> list[Process]:
        return [*self.apis, *self.dispatchers, *self.workers]

    @property
    def awake(self) -> list[Process]:
        return [process for process in self.processes if not process.is_stopped]

    def newest_jobs(self) -> list[Job]:
        return sorted(self.model.jobs.values(), key=lambda job: job.id, reverse=True)

    def waiting(self) -> list[tuple[Process, Call]]:
        """The calls that nobody has performed yet."""
        return [(process, call) for process in self.awake for call in process.calls if not call.is_performed]

    def answered(self) -> list[tuple[Process, Call]]:
        """The calls whose answer is on its way."""
        return [(process, call) for process in self.awake for call in process.calls if call.is_performed]

    def running(self) -> list[tuple[WorkerProcess, int]]:
        """The attempts whose code runs."""
        awake = [worker for worker in self.workers if not worker.is_stopped]
        return [(worker, place) for worker in awake for place in range(len(worker.code.running))]

    def start_a_worker(self, types: Sequence[str]) -> None:
        self.workers.append(WorkerProcess(self._new_name("worker"), self.world, types=types))

    def end_an_attempt(self, worker: WorkerProcess, place: int, how: str) -> None:
        """Let its code end: `success`, `error`, `permanent`, or `later` (an error that asks for no wait)."""
        execution, _ = worker.code.running[place]
        text = msgspec.json.encode(f"{how} of {execution.attempt} by {execution.worker}")
        outcome: Outcome = Succeeded(text)
        if how != "success":
            outcome = Errored(text, permanent=how == "permanent", retry_after=0.0 if how == "later" else None)
        worker.code.end(place, outcome)

    def pass_time(self, seconds: float) -> None:
        """The clocks of all go on; what has become due happens."""
        self.world.pass_time(seconds)
        for process in self.processes:
            process.rest()
        self._bury()

    def beat(self) -> None:
        """A heartbeat of each worker that is awake."""
        for worker in self.workers:
            if not worker.is_stopped:
                worker.beat()

    def finish(self, dispatcher: Dispatcher, what: str) -> bool:
        """A whole step of a dispatcher's loop; whether it says that there is more to do. An outage says nothing."""
        if dispatcher.is_stopped:
            return False
        task = dispatcher.step(what)
        while not task.done():
            work_on(self.world, dispatcher, 1)
        return not task.cancelled() and task.exception() is None and task.result() is True

    def work_together(self, *, is_end: bool = False) -> None:
        """A second in which everybody does what there is to do. At the end of a run, attempts come to their end, too."""
        self.pass_time(1.0)
        for api in self.apis:
            work_on(self.world, api, _CALLS)
        for dispatcher in self.dispatchers:
            while self.finish(dispatcher, "relay"):
                pass
        for what in ("wake", "watch", *(("mend", "forget") if is_end and self.needs_mending else ()), "relay"):
            self.finish(self.dispatchers[0], what)
        for worker in list(self.workers):
            if not worker.is_stopped:
                worker.beat()
                work_on(self.world, worker, _CALLS)
                while is_end and worker.code.running:
                    self.end_an_attempt(worker, 0, "success")
                    work_on(self.world, worker, _CALLS)
        self._bury()
        while self.world.fold():
            pass

    def kill(self, process: Process, *, under_way: Fault | None = None) -> None:
        """`kill -9`; `under_way`: what becomes of the call that it had just made. An api or a dispatcher is started again."""
        waiting = [call for call in process.calls if not call.is_performed]
        if under_way is not None and waiting and not process.is_stopped:
            call = waiting[0]
            if call.method == "append":  # nobody is left to try it again and again
                call.perform = partial(self.world.new_log(patience=0.0).append, *call.arguments)
            self.world.faults.plan(under_way)
            self.world.perform(call)
        process.kill()
        match process:
            case Api():
                place = self.apis.index(process)
                self.apis[place] = Api(self._new_name("api"), self.world, is_hasty=place == 1)
            case Dispatcher():
                self.dispatchers[self.dispatchers.index(process)] = Dispatcher(self._new_name("dispatcher"), self.world)
            case WorkerProcess():
                self.model.mourned.add(process.worker.name)
                self.workers.remove(process)

    def stop_or_continue(self, process: Process) -> None:
        """SIGSTOP, SIGCONT."""
        process.is_stopped = not process.is_stopped
        if isinstance(process, WorkerProcess):
            self.model.mourned.add(process.worker.name)
        process.rest()

    def restore_postgres(self, position: int) -> None:
        """To an earlier moment, as an operator does it: everything is stopped, and started afterwards. Redis stays as it is."""
        self.needs_mending = (
            True  # an entry may have left the queue for a Started that is gone, and the relay not have come so far
        )
        self.end()
        self.world.restore_postgres(position)
        self.world.pass_time(1.0)  # it takes a while
        self._start_all()

    def heal(self) -> None:
        """End all that is wrong; and let there be a worker that is well."""
        self.world.faults.clear()
        while self.world.faults.delayed:
            self.world.let_delayed_arrive(0)
        for process in self.processes:
            process.is_stopped = False
            process.rest()
        self.start_a_worker(ALL_TYPES)

    def drain(self) -> None:
        """Go on until everything is over, or nothing more happens."""
        self.work_together(is_end=True)  # what was asked for is in the log from here on
        silent = 0
        while silent < _SILENT_ROUNDS and not self._is_over():
            known = len(self.model.events)
            self.work_together(is_end=True)
            silent = 0 if len(self.model.events) > known else silent + 1
        for _ in range(3):
            self.work_together(is_end=True)

    def judge_workers(self) -> None:
        """A registered worker that is awake runs what the log says that it runs, and nothing else."""
        if self.model.alarm is not None:
            raise self.model.alarm
        for worker in self.workers:
            name = worker.worker.name
            if worker.is_stopped or name not in self.model.log.workers:
                continue
            running = {running.job.id: running for running in worker.worker.running._running.values()}
            appends = [call.arguments[0] for call in worker.calls if call.method == "append"]
            claiming = {command.job_id for commands in appends for command in commands}
            by_the_log = {job.id for job in self.model.jobs.values() if job.worker == name}
            assert by_the_log <= running.keys() | claiming, f"{name} owns what it does not run"
            for job_id, attempt in running.items():
                assert attempt.is_closing or job_id in by_the_log, f"{name} runs what it does not own: {job_id}"

    def judge_end(self) -> None:
        """Once drained: the log is the model's, each job ended as it should, and the audit finds nothing."""
        world = self.world
        self.judge_workers()
        assert read_log(world.database) == self.model.events
        self.model.judge_end()
        relayed = self.dispatchers[0].relay.relayed_position or 0
        assert world.io(world.dispatch.hold(relayed_position=relayed, redis_state="ok"))
        queue = RedisQueueAuditor(world.redis)
        report = world.io(verified(world.postgres_url, workers=1, queue=queue, is_drained=True, is_thorough=True))
        found = broken(report)
        assert not found, found

    def end(self) -> None:
        """Kill everything."""
        for process in self.processes:
            process.kill()
        self.model.mourned |= {worker.worker.name for worker in self.workers}
        self.apis, self.dispatchers, self.workers = [], [], []

    def _start_all(self) -> None:
        self.apis = [Api(self._new_name("api"), self.world, is_hasty=is_hasty) for is_hasty in (False, True)]
        self.dispatchers = [Dispatcher(self._new_name("dispatcher"), self.world) for _ in range(2)]

    def _bury(self) -> None:
        for worker in list(self.workers):
            worker.end_if_finished()
            if worker.is_dead:
                self.workers.remove(worker)

    def _is_over(self) -> bool:
        return all(job.status in ("completed", "failed", "cancelled") for job in self.model.jobs.values())

    def _new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"
