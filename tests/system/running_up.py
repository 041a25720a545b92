"""A real `jobledger up` for tests: on free ports, with a directory of its own, and everything that it writes at hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from entrypoints.metrics import free_metrics_ports
from entrypoints.settings import Settings
from tests.conftest import free_port
from tests.until import until_now

UP_SECONDS = 60.0  # a machine that is busy with other tests
_PORTS = ("API_PORT", "MAIL_PORT", "MAIL_UI_PORT", "POSTGRES_PORT", "REDIS_PORT")


def up_environ(home: Path) -> dict[str, str]:
    """An environment in which `jobledger up` disturbs nobody: free ports, its data below `home`."""
    ours = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "NO_COLOR"}}
    ports = {name: str(free_port()) for name in _PORTS} | {"METRICS_PORT": str(_first_free_metrics_port())}
    return (
        ours | ports | {"DATA_DIR": str(home / ".jobledger"), "OUTPUT_DIR": str(home / "output"), "LOG_FORMAT": "json"}
    )


def _first_free_metrics_port() -> int:
    return free_metrics_ports(Settings(metrics_port=free_port()))


class Up:
    """One run of it. `lines` are the log lines so far, `stray` what it wrote that is no log line."""

    def __init__(self, environ: Mapping[str, str], home: Path, *, command: tuple[str, ...] | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self.stray: list[str] = []
        self.api = f"http://127.0.0.1:{environ['API_PORT']}"
        self.process = subprocess.Popen(
            command or (sys.executable, "-m", "jobledger", "up"),
            env=dict(environ),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for raw in self.process.stdout:
                try:
                    self.lines.append(json.loads(raw))
                except ValueError:
                    self.stray.append(raw.decode(errors="replace").rstrip())

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def saw(self) -> object:
        return self.stray, self.lines[-30:]

    def until_up(self) -> dict[str, Any]:
        """Wait until it says where things are; gives that line."""
        until_now(lambda: "up" in self.events() or self.process.poll() is not None, within=UP_SECONDS, saw=self.saw)
        assert self.process.poll() is None, self.saw()
        return next(line for line in self.lines if line["event"] == "up")

    def children(self) -> dict[str, psutil.Process]:
        """Its child processes by name: "worker", "postgres" …"""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            if words:
                found["valkey" if "valkey" in words[0] else words[-1] if "-m" in words else Path(words[0]).name] = child
        return found

    def post(self, job_type: str, payload: object) -> str:
        body = json.dumps({"type": job_type, "payload": payload}).encode()
        request = urllib.request.Request(f"{self.api}/jobs", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            job_id: str = json.load(answer)["jobId"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.api}/jobs/{job_id}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def until_completed(self, job_id: str) -> dict[str, Any]:
        until_now(
            lambda: self.job(job_id)["status"] == "completed",
            within=UP_SECONDS,
            saw=lambda: (self.job(job_id), self.saw()),
        )
        return self.job(job_id)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for its end and for its last line; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(UP_SECONDS)
        self._reading.join(UP_SECONDS)
        return code


@contextmanager
def running_up(environ: Mapping[str, str], home: Path) -> Iterator[Up]:
    """Start it, wait until it is up, and see to it that it is gone afterwards."""
    service = Up(environ, home)
    try:
        service.until_up()
        yield service
    finally:
        service.stop()
