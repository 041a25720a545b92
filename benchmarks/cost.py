"""What a stretch of time cost: wall clock, and the CPU time of each process group, servers and children included."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil
from msgspec import Struct

Groups = Mapping[str, Iterable[int]]  # a group's name to the ids of its processes; what these started belongs to them


class Cost(Struct, frozen=True):
    """`cpu`: seconds a group."""

    seconds: float
    cpu: dict[str, float]


class Meter:
    """Begins when it is made. `load`: whether the children that end meanwhile are load generators, and are told as such."""

    def __init__(self, groups: Groups, *, load: bool = False) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._load = load
        self._before = self._spent()
        self._began = time.perf_counter()

    def read(self) -> Cost:
        """What was spent since the beginning, by the processes that were there then (and what they started)."""
        seconds = time.perf_counter() - self._began
        after = self._spent()
        return Cost(seconds, {name: after[name] - self._before[name] for name in after})

    def _spent(self) -> dict[str, float]:
        spent = {name: sum(map(_cpu_seconds, pids)) for name, pids in self._groups.items()}
        if self._load:
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent["load"] = ended.ru_utime + ended.ru_stime
        return spent


def _cpu_seconds(pid: int) -> float:
    """Of a process, its living descendants, and those of its children that have ended."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    spent = 0.0
    for one in family:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
        spent += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return spent


def peak_memory_mib(pid: int) -> float:
    """The most that a process had resident so far (where the system keeps that; else what it has now), in MiB."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resident_memory_mib(pid)


def resident_memory_mib(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0
