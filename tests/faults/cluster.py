"""The whole service as in production, twice over: two of each process over one PostgreSQL and one Redis, to be broken at will.

    with Cluster(directory, postgres=…, valkey=…) as cluster:
        cluster.start_all()

Between each process and each server lies a link of its own (network.py) where a network is given. What a run leaves behind goes
into its directory (run_directory.py), where the judge finds it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from domain.events import RecordedEvent, Started
from tests.conftest import free_port
from tests.faults.client_log import Answer, Asked, ClientLog, LoadBegan, Posted
from tests.faults.fault_job_site import install_fault_jobs
from tests.faults.faults_log import FaultsLog
from tests.faults.network import Link, Network
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import OwnPostgres, OwnValkey
from tests.packages import install_job_types
from tests.system.service import Process, Service

APIS = ("api 1", "api 2")
DISPATCHERS = ("dispatcher 1", "dispatcher 2")
WORKERS = ("worker 1", "worker 2")
PROJECTORS = ("projector 1", "projector 2")
EVERYTHING = (*APIS, *DISPATCHERS, *PROJECTORS, *WORKERS)

LIVENESS = 3  # seconds: LIVENESS_SECONDS of the short forms
_BY_HAND = 1_000_000  # the number of the client that a test itself is
_ROW_TYPES = ("GATED", "STEPS", "BLOCKS_THE_LOOP", "NEVER_RETURNS", "BLOCKS_FOR_EVER")


class Cluster(Service):
    """Also knows the servers, the links and the directory of the run. The names of its processes are those of EVERYTHING."""

    def __init__(
        self,
        directory: RunDirectory,
        *,
        postgres: OwnPostgres,
        valkey: OwnValkey,
        network: Network | None = None,
        **settings: object,
    ) -> None:
        home = directory.path / "service"
        home.mkdir()
        self.directory = directory
        self.postgres = postgres
        self.valkey = valkey
        self.network = network
        directory.tally.touch()
        sites = [install_fault_jobs(home / "load types"), _install_row_jobs(home / "row types")]
        self.liveness = float(str(settings.get("LIVENESS_SECONDS", LIVENESS)))
        self.faults = FaultsLog(directory.faults)
        self.python_path = os.pathsep.join(map(str, sites))  # where processes find the job types
        self._ports = {name: free_port() for name in APIS}
        self._numbers = itertools.count(1)
        self._asked: set[str] = set()
        self._by_hand = ClientLog(directory.requests("by hand"))
        super().__init__(
            home,
            postgres_url=postgres.url,
            redis_url=valkey.url,
            **{
                "LIVENESS_SECONDS": LIVENESS,
                "OUTPUT_DIR": directory.output,
                "TALLY": directory.tally,
                "API_PORT": self._ports[APIS[0]],
                "PYTHONPATH": self.python_path,
                **settings,
            },
        )
        self._tally = directory.tally

    # Processes

    def settings_of(self, name: str) -> dict[str, object]:
        """See Service.settings_of: an API's port, and the way to the servers."""
        found: dict[str, object] = {}
        if name in self._ports:
            found["API_PORT"] = self._ports[name]
        if self.network is not None:
            found["DATABASE_URL"] = self.to_postgres(name).url(self.postgres.url)
            if not name.startswith(("api", "projector")):
                found["REDIS_URL"] = self.to_redis(name).url(self.valkey.url)
        return found

    def start_all(self, *, of: Iterable[str] = EVERYTHING) -> None:
        """Start those of them that do not run."""
        self.start(*(name for name in of if name not in self.processes or not self[name].is_running))

    def kill(self, *names: str) -> None:
        """End them by SIGKILL, all at once, and wait until they are gone."""
        for name in names:
            self[name].signal(signal.SIGKILL)
        for name in names:
            self[name].ended()

    def is_stopped(self, name: str) -> bool:
        """Whether it stands still, by SIGSTOP."""
        return psutil.Process(self[name].pid).status() == psutil.STATUS_STOPPED

    def owner_of_port(self, port: int, *, among: Iterable[str]) -> str:
        """Which of these processes has a connection from that local port, as its server sees it."""
        for name in among:
            for connection in psutil.Process(self[name].pid).net_connections(kind="tcp"):
                if connection.laddr.port == port:
                    return name
        raise AssertionError(f"nobody connects from port {port}")

    @property
    def api_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports.values()]

    def api_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def leader(self) -> str:
        """The name of the dispatcher that leads, once one of ours does."""
        self.until(lambda: self.leader_now() is not None)
        name = self.leader_now()
        assert name is not None
        return name

    def leader_now(self) -> str | None:
        """The name of the dispatcher that holds the lease, whether it has run out or not; None if it is none of ours."""
        [(holder,)] = self.ask("select coalesce(holder, '') from dispatcher_lease")
        found = [name for name, process in self.processes.items() if f"-{process.pid}-" in holder]
        return found[0] if found else None

    def cpu_seconds(self, *names: str) -> float:
        """What they have used of the processors so far."""
        return sum(sum(psutil.Process(self[name].pid).cpu_times()[:2]) for name in names)

    # Jobs

    def post(self, job_type: str, payload: object = None, *, priority: str = "default") -> str:
        """See Service.post; and write it down for the judge, as the load does."""
        return self.post_with_key(self.new_key(), job_type, payload, priority=priority)

    def new_key(self) -> str:
        """An Idempotency-Key that nobody else has."""
        return f"by-hand-{next(self._numbers)}"

    def post_with_key(
        self,
        key: str,
        job_type: str,
        payload: object = None,
        *,
        priority: str = "default",
        api: str = APIS[0],
        **wanted: object,
    ) -> str:
        """Ask for a job under that key, as often as it is called; it must be accepted, and its id is given.

        `wanted`: what else its body says, such as `delaySeconds`.
        """
        told = msgspec.json.encode(payload)
        if not self._asked:
            self._by_hand.__enter__()
            self._by_hand.write(LoadBegan(0, time.monotonic(), time.time()))
        if key not in self._asked:
            self._asked.add(key)
            self._by_hand.write(Asked(key, _BY_HAND, job_type, priority, hashlib.sha256(told).hexdigest()))
        rest = b"".join(b"%b:%b," % (msgspec.json.encode(name), msgspec.json.encode(wanted[name])) for name in wanted)
        body = b'{%b"type":"%b","priority":"%b","payload":%b}' % (rest, job_type.encode(), priority.encode(), told)
        began = time.monotonic()
        headers = {"content-type": "application/json", "idempotency-key": key}
        url = self.api_url(api)
        try:
            answer = self.http.post(f"{url}/jobs", content=body, headers=headers)
        except httpx.HTTPError as exc:
            self._tell(key, url, began, "unknown", error=str(exc))
            raise
        outcome: Answer = "ok" if answer.is_success else "refused" if answer.is_client_error else "unknown"
        job_id: str = answer.json()["jobId"] if answer.is_success else ""
        self._tell(key, url, began, outcome, status=answer.status_code, job=job_id)
        assert answer.status_code in {200, 201}, (answer.status_code, answer.text)
        return job_id

    def _tell(self, key: str, api: str, began: float, answer: Answer, **further: Any) -> None:
        self._by_hand.write(Posted(key, _BY_HAND, api, began, time.monotonic(), answer, **further))

    # The network

    def to_postgres(self, name: str) -> Link:
        """The link between that process and PostgreSQL."""
        assert self.network is not None
        return self.network.link(name, "postgres", port=self.postgres.port)

    def to_redis(self, name: str) -> Link:
        """The link between that process and Redis."""
        assert self.network is not None
        return self.network.link(name, "redis", port=self.valkey.port)

    # What the log says

    def started_by(self, worker: str) -> list[RecordedEvent]:
        """The attempts that a worker began, by the name that it has in the log."""
        return [one for one in self.log() if isinstance(one.event, Started) and one.event.worker == worker]

    def head(self) -> int:
        """The log's newest position."""
        [(head,)] = self.ask("select coalesce(max(position), 0) from events")
        return int(head)

    def unfinished(self) -> list[RecordedEvent]:
        """The events of jobs that are not over."""
        left = self.ask("select id::text from jobs where status in ('pending', 'processing') limit 20")
        return self.log(*(job_id for (job_id,) in left)) if left else []

    def checkpoint(self) -> int:
        """How far `jobs` has read the log."""
        return self.standing()[0][1]

    def standing(self) -> list[tuple[int, int, int]]:
        """Head, the projector's checkpoint, and what the dispatcher says of the queue."""
        return [
            (int(head), int(checkpoint), int(relayed))
            for head, checkpoint, relayed in self.ask(
                "select (select coalesce(max(position), 0) from events),"
                " (select position from checkpoints where name = 'jobs'), (select relayed_position from dispatcher_lease)"
            )
        ]

    def queued(self) -> list[str]:
        """The jobs of the entries in both streams; "" for a foreign one."""
        return [fields.get("job", "") for _, fields in self.entries()]

    def until_queued(self, *job_ids: str) -> None:
        """See Service.until_queued. There may be foreign entries."""
        self.until(lambda: set(job_ids) <= set(self.queued()), saw=self.entries)

    def queue_length(self) -> int:
        """Entries in both streams."""
        return sum(int(str(self.redis.xlen(stream))) for stream in ("high_priority", "default"))

    def pending(self) -> int:
        """Entries that a worker has read and not acknowledged."""
        return sum(
            int(group["pending"])
            for stream in ("high_priority", "default")
            if self.redis.exists(stream)
            for group in self.redis.xinfo_groups(stream)
        )

    def told(self) -> str:
        """See Service.told; without the attempts that are meant to fail, which are most of the lines."""
        return "\n".join(line for line in super().told().splitlines() if "the code of the job type raised" not in line)

    def lines_of(self, names: Sequence[str]) -> int:
        """How many log lines these processes have written so far, beside what the code of jobs says."""
        lines = [line for name in names for line in self[name].lines if line.get("logger") != "jobledger.job"]
        return len(lines) + sum(len(self[name].stray) for name in names)

    def process_of(self, worker: str) -> Process:
        """The process that began under that worker's name."""
        return next(process for process in self.processes.values() if f"-{process.pid}-" in worker)


def _install_row_jobs(site: Path) -> Path:
    site.mkdir()
    install_job_types(
        site, package="row_jobs", modules={}, job_types={name: f"row_jobs:{name.lower()}" for name in _ROW_TYPES}
    )
    shutil.copy(Path(__file__).with_name("row_jobs.py"), site / "row_jobs.py")
    return site
