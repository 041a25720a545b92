"""A job service under measurement: its processes, started anew for each run on a database of its own.

Two of them are held against each other over HTTP: jobledger_service.py and reference_service.py.
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import redis

from benchmarks.bench import Bench
from benchmarks.cost import peak_memory_mib
from benchmarks.processes import Child, Children, environment, python
from benchmarks.servers import Groups, connected, free_port
from benchmarks.tools import HERE

ALL = ("api", "dispatcher", "projector", "worker")  # parts that a service has as processes of their own, or has not
DATABASE = "bench"  # the name of the database that each run makes anew


class Service(ABC):
    """A job service's processes. A context manager: at its end they are gone.

    `apis`, `workers`: how many of these. `parts`: which kinds run at all. `settings` are environment variables.
    """

    name: str
    kinds: tuple[str, ...]
    needs: Literal["nothing", "node"]
    settings_told: str  # what it runs with, in words

    def __init__(
        self,
        bench: Bench,
        *,
        apis: int = 1,
        workers: int = 1,
        parts: tuple[str, ...] = ALL,
        **settings: object,
    ) -> None:
        self.bench = bench
        self.ports = [free_port() for _ in range(apis)]
        self._counts = {kind: {"api": apis, "worker": workers}.get(kind, 1) for kind in self.kinds if kind in parts}
        self._children = Children(bench.logs)
        self._settings = settings

    def __enter__(self) -> Self:
        servers = self.bench.servers
        output = self.bench.scratch / "output"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        self.url = self._make_database()
        servers.settle()
        self.db = connected(self.url)
        self.redis = redis.Redis.from_url(servers.redis_url, decode_responses=True)
        self._environ = environment(
            DATABASE_URL=self.url,
            REDIS_URL=servers.redis_url,
            OUTPUT_DIR=output,
            **self._own_environment(),
            **self._settings,
        )
        for kind, count in self._counts.items():
            for number in range(count):
                self._start(kind, self._environ | ({"API_PORT": str(self.ports[number])} if kind == "api" else {}))
        for kind in self._counts:
            for child in self._children.of(kind):
                child.until_says(self._ready(kind))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.db.close()
        self.redis.close()
        self._children.__exit__(kind, exc, traceback)

    def start_also(self, kind: str) -> None:
        """Start one more of a kind."""
        self._start(kind, self._environ)
        self._children.of(kind)[-1].until_says(self._ready(kind))

    @property
    def groups(self) -> Groups:
        """All process groups, for a Meter."""
        ours = {kind: [child.pid for child in self._children.of(kind)] for kind in self._counts}
        return ours | self.bench.servers.groups

    @property
    def memory(self) -> dict[str, float]:
        """The most memory (MiB) that a process of each kind had so far."""
        return {kind: max(peak_memory_mib(child.pid) for child in self._children.of(kind)) for kind in self._counts}

    def of(self, kind: str) -> list[Child]:
        return self._children.of(kind)

    def load(self, kind: str, **asked: Any) -> Child:
        """Start the load generator; `load_result` waits for what it says."""
        child = self.start_load(python("-m", "benchmarks.load", kind))
        child.tell(json.dumps({"ports": self.ports, **asked}))
        return child

    def start_load(self, command: Sequence[str | Path]) -> Child:
        """Start another load generator."""
        return self._children.start("load", command, environ=environment(), cwd=HERE.parent)

    def warm_up(self) -> None:
        """Let jobs through the processes that there are."""
        if "api" in self._counts and "worker" in self._counts:
            load_result(self.load("post", connections=32, count=self.bench.sizes.warm))
            self.until_completed(self.bench.sizes.warm)
        elif "api" in self._counts:
            load_result(self.load("post", connections=32, count=self.bench.sizes.warm))
        else:
            self.fill(self.bench.sizes.warm)
            self.until_completed(self.bench.sizes.warm)

    def pause_workers(self) -> None:
        for child in self.of("worker"):
            child.pause()

    def resume_workers(self) -> None:
        for child in self.of("worker"):
            child.resume()

    @abstractmethod
    def fill(self, count: int) -> None:
        """Queue so many no-op jobs, past the API; returns when all are queued for the workers."""

    @abstractmethod
    def until_completed(self, count: int) -> None:
        """Return when so many more jobs than at the last call are `completed` in the table `jobs`; asks cheaply and often."""

    @abstractmethod
    def completed_in_table(self) -> int:
        """How many jobs of this run are completed, counted."""

    @abstractmethod
    def _make_database(self) -> str: ...

    @abstractmethod
    def _start(self, kind: str, environ: dict[str, str]) -> None: ...

    @abstractmethod
    def _ready(self, kind: str) -> str: ...

    def _own_environment(self) -> dict[str, object]:
        return {}


def load_result(child: Child) -> dict[str, Any]:
    """What the load generator measured."""
    found: dict[str, Any] = json.loads(child.ended().splitlines()[-1])
    return found
