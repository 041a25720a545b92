"""Jobledger's processes for system tests, one by one: started, stopped, killed, paused; and what is seen from outside.

    with Service(home, postgres_url=…, redis_url=…) as service:
        service.start("api", "dispatcher", "projector", "worker")
        job_id = service.post("NOOP")
        service.until_ended(job_id)

What the log holds at the end is judged by its invariants. When a test fails, the lines of all processes are shown
(conftest.py here).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
import psycopg
import redis

from adapters.embedded.program import Program
from domain.events import RecordedEvent, Started, decode_data, type_name
from domain.retry import RetryPolicy
from tests.conftest import free_port
from tests.forking import run_module, start_module
from tests.packages import install_job_types
from tests.properties.judging import breaches
from tests.until import until_now

WITHIN = 60.0  # seconds that anything may take: the machine may be busy with other tests
_TYPES = (
    *("NOOP:noop", "FLAKY:flaky", "GATED:gated", "GATED_BRIEFLY:gated_briefly", "DEAF_THREAD:deaf_thread"),
    *("DEAF_THREAD_FOR_LONG:deaf_thread_for_long", "DEAF_PROCESS:deaf_process"),
    *("HALF_WAY:half_way", "HALF_WAY_PROCESS:half_way_process"),
    *("BLOCKS_THE_LOOP:blocks_the_loop", "KILLS_ITS_WORKER:kills_its_worker"),
    "NEVER_RETURNS:never_returns",
)
_SPECIAL = ("SPECIAL:special",)
_OURS = {"DATABASE_URL", "REDIS_URL", "NO_COLOR", "PYTHONPATH"}  # of the environment: set here, or not at all

open_services: list[Service] = []  # those whose lines are worth showing when a test fails


class Process:
    """One process of the service. `lines` are its log lines so far, `stray` what it wrote that is no log line."""

    def __init__(self, name: str, kind: str, environ: Mapping[str, str], cwd: Path, *, fresh: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.lines: list[dict[str, Any]] = []
        self.stray: list[str] = []
        self.popen = start_module(
            "jobledger", kind, environ=environ, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, fresh=fresh
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def said(self, event: str) -> bool:
        """Whether there is a line with that event."""
        return any(line["event"] == event for line in self.lines)

    def until_said(self, event: str, *, within: float = WITHIN) -> dict[str, Any]:
        """Wait for a line with that event and give the first one. Fails when the process ends without it."""
        until_now(lambda: self.said(event) or self._is_over(), within=within, saw=lambda: self.lines[-10:])
        assert self.said(event), f"{self.name} ended without saying {event!r}: {self.lines} {self.stray}"
        return next(line for line in self.lines if line["event"] == event)

    def told(self) -> list[str]:
        """What it has said of its dependencies, such as "PostgreSQL away" and "PostgreSQL back"."""
        told = [(str(line["event"]).split(), line.get("dependency")) for line in self.lines]
        return [f"{dependency} {words[1]}" for words, dependency in told if words[0] == "dependency"]

    def until_told(self, *told: str) -> None:
        """Wait until that, and nothing else, is what it has said of its dependencies."""
        until_now(lambda: self.told() == list(told), within=WITHIN, saw=self.told)

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def ended(self, *, within: float = WITHIN) -> int:
        """Wait for its end and its last line; gives the exit code."""
        code = self.popen.wait(within)
        self._reading.join(within)
        return code

    def stop(self) -> None:
        """End it by SIGTERM, which must go well."""
        self.signal(signal.SIGTERM)
        assert self.ended() == 0, (self.name, self.popen.returncode, self.lines[-10:], self.stray)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.signal(signal.SIGKILL)
        self.ended()

    def pause(self) -> None:
        """Stop it where it stands, by SIGSTOP; or see that it has just ended by itself."""
        self.signal(signal.SIGSTOP)
        until_now(
            lambda: not self.is_running or psutil.Process(self.pid).status() == psutil.STATUS_STOPPED,
            within=WITHIN,
            saw=lambda: (
                self.name,
                [psutil.Process(thread.id).status() for thread in psutil.Process(self.pid).threads()],
            ),
        )

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def _is_over(self) -> bool:
        if self.is_running:
            return False
        self._reading.join(WITHIN)
        return True

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout:
            for raw in self.popen.stdout:
                try:
                    self.lines.append(json.loads(raw))
                except ValueError:
                    self.stray.append(raw.decode(errors="replace").rstrip())


class EmbeddedServer:
    """A PostgreSQL or Valkey of a test's own, which may be stopped and started as the test likes."""

    def __init__(self, program: Program, is_ready: Callable[[], bool]) -> None:
        self._program = program
        self._is_ready = is_ready
        self._output = program.cwd / f"{program.name}-output.txt"
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(self._program.stops[0])

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._output.open("ab") as output:
            self._popen = subprocess.Popen(
                self._program.command(),
                env=dict(self._program.environ),
                cwd=self._program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until_now(self._is_ready, within=WITHIN, saw=lambda: self._output.read_text(errors="replace")[-2000:])

    def stop(self, number: signal.Signals) -> None:
        """Send the signal and wait for its end."""
        if self._popen is None:
            return
        self._popen.send_signal(number)
        try:
            self._popen.wait(WITHIN)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise
        self._popen = None


class Service:
    """Processes over one PostgreSQL and one Redis, with job types of their own (tallied_jobs.py).

    A context manager: at its end everything is gone. `settings` are environment variables for all of its processes; those
    given to `start` are for that process alone. Logs are judged with the LIVENESS_SECONDS given here. `site`: the directory
    with their job types; it may be changed.
    """

    fresh = False  # whether its processes start as in production, for what is measured: see tests/forking.py

    def __init__(self, home: Path, *, postgres_url: str, redis_url: str, **settings: object) -> None:
        self.home = home
        self.processes: dict[str, Process] = {}
        self.redis = redis.Redis.from_url(redis_url, decode_responses=True)
        self._postgres_url = postgres_url
        self._tally = home / "tally"
        self._tally.touch()
        self._settings = {
            "DATABASE_URL": postgres_url,
            "REDIS_URL": redis_url,
            "API_PORT": free_port(),
            "METRICS_PORT": free_port(),  # the first of those that its processes try: not that of what runs here otherwise
            "OUTPUT_DIR": home / "output",
            "DATA_DIR": home / "data",
            "SHUTDOWN_GRACE_SECONDS": 5,
            "LOG_FORMAT": "json",
            "TALLY": self._tally,
            **settings,
        }
        (home / "output").mkdir(exist_ok=True)
        self.site = _install(home / "site", _TYPES, name="tallied")
        self._special_site = _install(home / "special", _SPECIAL, name="special")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self._settings['API_PORT']}", timeout=30, trust_env=False)
        self._ended: list[Process] = []
        self._gates = 0

    def __enter__(self) -> Self:
        others = {other._settings["REDIS_URL"] for other in open_services}
        assert self._settings["REDIS_URL"] not in others, "another service, with another log, uses this Redis"
        open_services.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            exc.add_note(self.told())  # a fixture's lines come into the report by conftest.py
        try:
            self.end(*self.processes)
        finally:
            open_services.remove(self)
            self.http.close()
            self.redis.close()

    # Processes

    def start(self, *names: str, special: bool = False, **settings: object) -> None:
        """Start processes and wait until each is ready. A name is its kind, or that and a number: "worker", "worker 2".

        `special`: they know the job type SPECIAL too.
        """
        self.begin(*names, special=special, **settings)
        self.until_ready(*names)

    def begin(self, *names: str, special: bool = False, **settings: object) -> None:
        """Start them without waiting."""
        path = os.pathsep.join(map(str, [self.site, self._special_site] if special else [self.site]))
        inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
        for name in names:
            if name in self.processes:
                assert not self.processes[name].is_running, f"{name} runs already"
                self._ended.append(self.processes[name])
            kind = name.split()[0]
            given = {key: str(value) for key, value in (self._settings | self.settings_of(name) | settings).items()}
            self.processes[name] = Process(
                name, kind, inherited | {"PYTHONPATH": path} | given, self.home, fresh=self.fresh
            )

    def until_ready(self, *names: str) -> None:
        """Wait until each of them has said that it is."""
        for name in names:
            self[name].until_said(f"{self[name].kind.replace('-', ' ')} ready")

    def settings_of(self, name: str) -> dict[str, object]:
        """What that process alone gets; for several of one kind, such as another port for a second API."""
        return {}

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    def stop(self, *names: str) -> None:
        """Stop them by SIGTERM, all at once; each must end well."""
        for name in names:
            self[name].signal(signal.SIGTERM)
        for name in names:
            assert self[name].ended() == 0, self[name].lines[-10:]

    def end(self, *names: str) -> None:
        """See to it that they are gone: by SIGTERM if that is enough."""
        for name in names:
            self[name].resume()
            self[name].signal(signal.SIGTERM)
        for name in names:
            try:
                self[name].ended(within=15)
            except subprocess.TimeoutExpired:
                self[name].kill()

    def worker_id(self, name: str) -> str:
        """The name under which a worker began to claim, as in the log's events."""
        worker: str = self[name].until_said("worker starting")["worker"]
        return worker

    # Jobs

    def post(self, job_type: str, payload: object = None, *, priority: str = "default") -> str:
        """Post a job, which must be accepted; gives its id."""
        answer = self.http.post("/jobs", json={"type": job_type, "payload": payload, "priority": priority})
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    def post_many(self, count: int, job_type: str, payload: object = None, *, priority: str = "default") -> list[str]:
        return [self.post(job_type, payload, priority=priority) for _ in range(count)]

    @contextmanager
    def posting(self) -> Iterator[Posted]:
        """Post NOOPs one after another, from two threads, until the block ends."""
        posted = Posted()
        over = threading.Event()

        def post_on() -> None:
            with httpx.Client(base_url=self.http.base_url, timeout=30, trust_env=False) as http:
                while not over.is_set():
                    try:
                        answer = http.post("/jobs", json={"type": "NOOP", "payload": None})
                    except httpx.HTTPError as exc:
                        posted.errors.append(exc)
                    else:
                        if answer.status_code == 201:
                            posted.accepted.append(answer.json()["jobId"])
                        else:
                            posted.refused.append(answer.status_code)
                    over.wait(0.01)  # a steady load, not a contest

        threads = [threading.Thread(target=post_on) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield posted
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as GET shows it."""
        answer = self.http.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def gate(self) -> Path:
        """A gate that is shut; `touch` opens it."""
        self._gates += 1
        return self.home / f"gate {self._gates}"

    def tally(self, job_id: str | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """What was executed, in order: of that job, of that kind."""
        facts = [json.loads(line) for line in self._tally.read_text().splitlines()]
        return [fact for fact in facts if job_id in (None, fact["job"]) and what in (None, fact["what"])]

    def until_begun(self, *job_ids: str, attempt: int = 1) -> None:
        """Wait until that attempt of each of them runs (or has run)."""
        self.until(lambda: set(job_ids) <= {fact["job"] for fact in self.tally() if fact["attempt"] == attempt})

    def until_queued(self, *job_ids: str) -> None:
        """Wait until each of them has an entry in one of the streams."""
        self.until(lambda: set(job_ids) <= {fields["job"] for _, fields in self.entries()}, saw=self.entries)

    def until_gone(self, worker_id: str) -> None:
        """Wait until the worker of that name has no row (any more)."""
        self.until(lambda: self.ask("select 1 from workers where id = %s", worker_id) == [])

    def until(
        self, holds: Callable[[], bool], *, within: float = WITHIN, saw: Callable[[], object] | None = None
    ) -> None:
        """Return as soon as it holds."""
        until_now(holds, within=within, saw=saw)

    def until_ended(self, *job_ids: str, status: str = "completed", within: float = WITHIN) -> None:
        """Wait until each of them has that status in the log, then see that GET agrees for the last one."""
        wanted = {"completed": "Completed", "failed": "Failed", "cancelled": "Cancelled"}[status]
        self.until(
            lambda: all(last == wanted for last in self.last_types(job_ids).values()),
            within=within,
            saw=lambda: {job: last for job, last in self.last_types(job_ids).items() if last != wanted},
        )

    # What the servers hold

    def ask(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers to a statement."""
        with psycopg.connect(self._postgres_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def last_types(self, job_ids: Iterable[str]) -> dict[str, str | None]:
        """The type of each job's newest event; None for a job that is not in the log."""
        wanted = list(job_ids)
        found = dict(
            self.ask(
                "select distinct on (job_id) job_id::text, type from events where job_id = any(%s::uuid[])"
                " order by job_id, version desc",
                wanted,
            )
        )
        return {job_id: found.get(job_id) for job_id in wanted}

    def log(self, *job_ids: str) -> list[RecordedEvent]:
        """The whole log in order, or the events of these jobs."""
        rows = self.ask(
            "select position, job_id::text, version, type, data::text, content::text, actor, recorded_at from events"
            " where %s::uuid[] = '{}' or job_id = any(%s::uuid[]) order by position",
            list(job_ids),
            list(job_ids),
        )
        return [
            RecordedEvent(position, job_id, version, decode_data(kind, data), content and content.encode(), actor, at)
            for position, job_id, version, kind, data, content, actor, at in rows
        ]

    def history(self, job_id: str) -> list[str]:
        """The types of a job's events."""
        return [type_name(recorded.event) for recorded in self.log(job_id)]

    def judge(self, *, asked_waits: Iterable[float] = ()) -> None:
        """Hold the log against its invariants, and what was executed against the log. `asked_waits`: seconds, of RetryLater."""
        log = self.log()
        liveness = timedelta(seconds=float(str(self._settings.get("LIVENESS_SECONDS", 15))))
        assert breaches(log, policy=RetryPolicy(), liveness=liveness) == []
        started = {(one.job_id, one.event.attempt) for one in log if isinstance(one.event, Started)}
        begun = [(fact["job"], fact["attempt"]) for fact in self.tally(what="begin")]
        assert len(begun) == len(set(begun)), "an attempt was run twice"
        assert set(begun) <= started

    def verify(self, *options: str) -> tuple[int, str]:
        """What `jobledger verify` says: its exit code and its last line, or all lines if something does not hold."""
        done = self.run("verify", *options)
        lines = done.stdout.splitlines()
        return done.returncode, lines[-1] if done.returncode == 0 else done.stdout

    def run(self, *argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of jobledger to its end, with the service's settings over which those given go."""
        return run_module(
            "jobledger",
            *argv,
            environ=os.environ | {name: str(value) for name, value in self._settings.items()} | settings,
            cwd=self.home,
            stderr=subprocess.STDOUT,
        )

    def key(self, name: str, *, scope: str) -> str:
        """Make an API key; gives its token. An API that runs already comes to know of it within seconds."""
        done = self.run("keys", "create", "--name", name, "--scope", scope)
        assert done.returncode == 0, done.stdout
        return next(line for line in done.stdout.splitlines() if line.startswith("jl_"))

    def entries(self) -> list[tuple[str, dict[str, str]]]:
        """The entries of both streams: ids and fields."""
        found: list[tuple[str, dict[str, str]]] = []
        for stream in ("high_priority", "default"):
            found += self.redis.xrange(stream)  # type: ignore[arg-type]  # decode_responses: all of it is text
        return found

    @contextmanager
    def log_held(self) -> Iterator[None]:
        """Hold the log's lock: nobody appends meanwhile."""
        with psycopg.connect(self._postgres_url) as connection:
            connection.execute("select pg_advisory_xact_lock(7310592051)")
            yield

    def told(self) -> str:
        """The lines of all processes, in the order of their times."""
        processes = [*self._ended, *self.processes.values()]
        lines = [(line.get("timestamp", ""), process.name, line) for process in processes for line in process.lines]
        ordered = [f"{at} {name}: {json.dumps(line)}" for at, name, line in sorted(lines, key=lambda line: line[:2])]
        return "\n".join(ordered + [f"{process.name} wrote: {text}" for process in processes for text in process.stray])


class Posted:
    """What became of what was posted: ids, statuses other than 201, and requests without an answer."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.errors: list[httpx.HTTPError] = []

    def until_more(self, count: int) -> None:
        """Wait until `count` more are accepted."""
        wanted = len(self.accepted) + count
        until_now(
            lambda: len(self.accepted) >= wanted, within=WITHIN, saw=lambda: (self.refused[-5:], self.errors[-5:])
        )


def _install(site: Path, types: Iterable[str], *, name: str) -> Path:
    site.mkdir()
    module = f"{name}_jobs"
    install_job_types(
        site,
        package=name,
        modules={},
        job_types={job_type: f"{module}:{attribute}" for job_type, attribute in (item.split(":") for item in types)},
    )
    shutil.copy(Path(__file__).with_name("tallied_jobs.py"), site / f"{module}.py")
    return site
