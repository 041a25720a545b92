"""The random mix: a plan of faults drawn from a seed alone, and the one who carries it out on a cluster.

Several things are broken at once: one process, PostgreSQL, Redis and the network each have a lane of their own in the plan, in
which one fault follows the other. A run is repeated by its seed; what it does to the load depends on the machine's mood.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random
from typing import Literal

from msgspec import Struct

from tests.faults.cluster import DISPATCHERS, EVERYTHING, WORKERS, Cluster
from tests.faults.faults_log import Fault
from tests.faults.network import Link

Lane = Literal["process", "postgres", "redis", "network"]

# Fault to weight, lane by lane.
_FAULTS: dict[Lane, dict[str, float]] = {
    "process": {
        "kill": 6,
        "kill at a place": 6,
        "terminate": 3,
        "pause briefly": 3,
        "pause for long": 2,
        "kill both": 1,
    },
    "postgres": {"end sessions": 4, "restart": 2, "away": 1},
    "redis": {
        "flush": 2,
        "delete a stream": 2,
        "destroy a group": 1,
        "foreign entry": 1,
        "delete entries": 1,
        "away": 2,
    },
    "network": {
        "black hole": 3,
        "reset": 4,
        "half a reset": 3,
        "swallow": 2,
        "cut before": 3,
        "cut after": 3,
        "delay": 2,
    },
}
_PAUSE: dict[Lane, tuple[float, float]] = {  # seconds between the end of a fault and the next one of its lane
    "process": (0.5, 3.0),
    "postgres": (4.0, 15.0),
    "redis": (4.0, 12.0),
    "network": (1.0, 4.0),
}
_PLACES = {
    "api": ("before-created", "after-created"),
    "worker": (
        *("after-read", "before-started", "after-started", "after-effect", "after-completed", "after-attempted"),
        *("before-acknowledged", "acknowledged"),
    ),
    "dispatcher": ("before-relay", "after-relay", "before-woken", "after-woken", "after-reset", "after-removed"),
    "projector": ("before-fold", "after-fold"),
}
_ENTRIES = 3  # that are deleted by hand: they come back only by the search for missing ones, minutes later


class Step(Struct, frozen=True):
    """One fault: `seconds` after the beginning it begins, and `lasts` so long. `target` is a process, `of` a detail of it."""

    at: float
    fault: str
    lane: Lane
    target: str
    lasts: float
    of: str = ""


def plan(seed: int, *, seconds: float, without: frozenset[str] = frozenset({"delete entries"})) -> list[Step]:
    """The faults of a run, in order. `without`: faults that are left out, such as one that heals too late for a short run."""
    steps: list[Step] = []
    for lane, faults in _FAULTS.items():
        dice = Random(f"{seed}/{lane}")
        wanted = {fault: weight for fault, weight in faults.items() if fault not in without}
        at = dice.uniform(*_PAUSE[lane])
        while at < seconds:
            [fault] = dice.choices(list(wanted), list(wanted.values()))
            step = _drawn(dice, lane, fault, at)
            steps.append(step)
            at += step.lasts + dice.uniform(*_PAUSE[lane])
    return sorted(steps, key=lambda step: (step.at, step.lane))


def _drawn(dice: Random, lane: Lane, fault: str, at: float) -> Step:
    target, of, lasts = "", "", 0.0
    match lane, fault:
        case "process", "kill both":
            target, lasts = dice.choice(("api", "dispatcher", "worker", "projector")), dice.uniform(0.0, 3.0)
        case "process", _:
            target = dice.choice(EVERYTHING)
            lasts = dice.uniform(6.0, 9.0) if fault == "pause for long" else dice.uniform(0.2, 3.0)
            if fault == "kill at a place":
                of = f"{dice.choice(_PLACES[target.split()[0]])}:{dice.choice((1, 2, 5, 10))}"
        case "postgres", "away":
            lasts = dice.uniform(2.0, 8.0)
        case "redis", "away":
            lasts = dice.uniform(0.5, 8.0)
        case "network", _:
            server = dice.choice(("postgres", "postgres", "redis"))
            target = dice.choice((*DISPATCHERS, *WORKERS) if server == "redis" else EVERYTHING)
            of = server
            lasts = dice.uniform(0.5, 6.0) if fault in {"black hole", "delay"} else 0.0
    return Step(round(at, 2), fault, lane, target, round(lasts, 2), of)


class Nemesis:
    """Carries a plan out. `heal` mends all that is still broken."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._dice = Random(f"{seed}/details")
        self._down: set[str] = set()  # processes that the plan keeps down
        self._paused: set[str] = set()
        self._away: set[str] = set()  # servers
        self._began: dict[Step, float] = {}
        self.unexpected: list[str] = []  # processes that ended and were not ended by this

    def carry_out(self, steps: list[Step]) -> None:
        """Break and heal step by step, in time; whoever else ends is started again, as by a supervisor."""
        began = time.monotonic()
        due: list[tuple[float, int, Callable[[], None]]] = []
        for number, step in enumerate(steps):
            healing = self._healing(step)
            due.append((step.at, 2 * number, self._beginning(step)))
            due.append((step.at + step.lasts, 2 * number + 1, healing))
        for at, _, act in sorted(due, key=lambda one: one[:2]):
            while (left := began + at - time.monotonic()) > 0:
                self._supervise()
                time.sleep(min(left, 0.2))
            act()

    def heal(self) -> None:
        """Let everything run again."""
        for name in list(self._paused):
            self._resume(name)
        if "postgres" in self._away:
            self._cluster.postgres.start()
        if "redis" in self._away:
            self._cluster.valkey.start()
        self._away.clear()
        self._start_again(*self._down)
        self._supervise()

    def _start_again(self, *names: str) -> None:
        for name in names:
            if name in self._down and not self._cluster[name].is_running:
                self._cluster.begin(name)
        self._down -= set(names)

    def _supervise(self) -> None:
        for name in EVERYTHING:
            process = self._cluster[name]
            if process.is_running or name in self._down:
                continue
            if process.popen.returncode != -signal.SIGKILL:
                self.unexpected.append(f"{name} ended with {process.popen.returncode}")
            self._cluster.begin(name)

    def _beginning(self, step: Step) -> Callable[[], None]:
        def begin() -> None:
            self._began[step] = time.time()
            try:
                self._break(step)
            except Exception as exc:
                exc.add_note(f"while it began: {step}")
                raise

        return begin

    def _healing(self, step: Step) -> Callable[[], None]:
        def heal() -> None:
            match step.lane, step.fault:
                case "process", "pause briefly" | "pause for long":
                    self._resume(step.target)
                case "process", _:
                    self._start_again(*_named(step.target))
                case "postgres", "away" if "postgres" in self._away:
                    self._cluster.postgres.start()
                    self._away.discard("postgres")
                case "redis", "away" if "redis" in self._away:
                    self._cluster.valkey.start()
                    self._away.discard("redis")
                case "network", "black hole" | "delay":
                    self._link(step).heal()
            name = " ".join(part for part in (step.fault, step.target, step.of) if part)
            self._cluster.faults.add(Fault(name, self._began.pop(step, time.time()), time.time()))

        return heal

    def _break(self, step: Step) -> None:
        match step.lane:
            case "process":
                self._break_process(step)
            case "postgres" if "postgres" not in self._away:
                self._break_postgres(step)
            case "redis" if "redis" not in self._away:
                self._break_redis(step)
            case "network":
                self._break_link(step)

    def _break_link(self, step: Step) -> None:
        link = self._link(step)
        match step.fault:
            case "black hole":
                link.black_hole()
            case "reset":
                link.reset()
            case "half a reset":
                link.reset(server_too=False)
            case "swallow":
                link.swallow_reply()
            case "cut before":
                link.cut_before_reply()
            case "cut after":
                link.cut_after_reply()
            case "delay":
                link.delay(0.2)

    def _link(self, step: Step) -> Link:
        return self._cluster.to_redis(step.target) if step.of == "redis" else self._cluster.to_postgres(step.target)

    def _break_process(self, step: Step) -> None:
        cluster = self._cluster
        names = [name for name in _named(step.target) if cluster[name].is_running]
        match step.fault:
            case "pause briefly" | "pause for long":
                for name in names:
                    cluster[name].pause()
                    self._paused.add(name)
                return
            case "terminate":
                self._down.update(names)
                for name in names:
                    cluster[name].signal(signal.SIGTERM)
                for name in names:
                    # By the signal itself: it came before the process had taken it into its own hands.
                    if cluster[name].ended(within=60) not in {0, -signal.SIGTERM}:
                        self.unexpected.append(f"{name} ended with {cluster[name].popen.returncode} at SIGTERM")
            case "kill" | "kill both" | "kill at a place":
                self._down.update(names)
                cluster.kill(*names)
                if step.fault == "kill at a place":
                    self._down.discard(
                        step.target
                    )  # supervised: it is killed once more, and started again as it should be
                    cluster.begin(step.target, KILL_AT=step.of)

    def _break_postgres(self, step: Step) -> None:
        match step.fault:
            case "end sessions":
                self._cluster.postgres.terminate_some(self._dice)
            case "restart":
                self._cluster.postgres.restart()
            case "away":
                self._cluster.postgres.stop(signal.SIGQUIT)
                self._away.add("postgres")

    def _break_redis(self, step: Step) -> None:
        with self._cluster.valkey.client() as client:
            match step.fault:
                case "flush":
                    client.flushall()
                case "delete a stream":
                    client.delete(self._dice.choice(("high_priority", "default")))
                case "destroy a group" if client.exists("default"):
                    client.xgroup_destroy("default", "workers")
                case "foreign entry":
                    client.xadd("default", {"foreign": "entry"})
                case "delete entries":
                    for entry_id, _ in client.xrange("default", count=_ENTRIES):
                        client.xdel("default", entry_id)
                case "away":
                    self._cluster.valkey.kill()
                    self._away.add("redis")

    def _resume(self, name: str) -> None:
        self._paused.discard(name)
        if self._cluster[name].is_running:
            self._cluster[name].resume()


def _named(target: str) -> list[str]:
    """The processes that a target means: one, or both of a kind."""
    return [name for name in EVERYTHING if target in (name, name.split()[0])]
