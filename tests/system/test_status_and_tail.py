"""`jobledger status` and `jobledger tail`, beside a running service: what they show is what is so, and they outlast outages."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forking import StartedModule, start_module
from tests.system.service import WITHIN, Service
from tests.until import until_now


@contextmanager
def tailing(service: Service, *options: str) -> Iterator[tuple[StartedModule, Path]]:
    """`jobledger tail` in the background, and the file that it writes to."""
    output = service.home / "tail.out"
    with output.open("wb") as file:
        process = start_module(
            *("jobledger", "tail", *options),
            environ=os.environ | {name: str(value) for name, value in service._settings.items()},
            stdout=file,
            stderr=subprocess.PIPE,
        )
        try:
            yield process, output
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def lines_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def test_tail_shows_every_event_once_through_an_outage_until_ctrl_c(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    first = service.post("NOOP")
    service.until_ended(first)
    with tailing(service, "--after", "0", "--json") as (process, output):
        until_now(lambda: len(lines_of(output)) == 3, within=WITHIN, saw=lambda: lines_of(output))
        service.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'jobledger tail%%'"
        )
        jobs = service.post_many(20, "NOOP")
        service.until_ended(*jobs)
        until_now(lambda: len(lines_of(output)) == 63, within=WITHIN, saw=lambda: lines_of(output)[-3:])
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 130
    shown = lines_of(output)
    assert [line["position"] for line in shown] == list(range(1, 64))
    log = {recorded.position: recorded for recorded in service.log()}
    assert all(log[line["position"]].job_id == line["jobId"] for line in shown)
    assert all(line["jobType"] == "NOOP" for line in shown)
    assert {"type": "NOOP", "priority": "default"}.items() <= shown[0]["data"].items()


def test_tail_shows_only_what_fits_all_its_filters(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    good, bad = service.post("NOOP"), service.post("CSV_EXPORT", {"data": "invalid"})
    service.until_ended(good)
    service.until(lambda: service.history(bad).count("Attempted") >= 1)
    with tailing(service, "--after=0", "--event=Attempted", "--event=Completed", "--job", bad, "--type=CSV_EXPORT") as (
        process,
        output,
    ):
        until_now(lambda: output.read_bytes().count(b"\n") >= 1, within=WITHIN, saw=output.read_text)
        service.until_ended(bad, status="failed")
        until_now(lambda: output.read_bytes().count(b"\n") == 2, within=WITHIN, saw=output.read_text)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 130
    for line in output.read_text().splitlines():
        assert bad in line
        assert "Attempted" in line
        assert "payload.data must be a list" in line
    assert service.run("tail", "--event", "Exploded").returncode == 2
    nowhere = service.run("tail", DATABASE_URL="postgresql://127.0.0.1:1/none?connect_timeout=1")
    assert nowhere.returncode == 1


def test_status_says_who_works_on_what_and_what_waits(service: Service) -> None:
    service.start("api", "dispatcher", "projector")
    gate = service.gate()
    jobs = [*service.post_many(2, "GATED", {"gate": str(gate)}), service.post("NOOP", priority="high")]
    service.until(lambda: status(service)["queued"] == {"high": 1, "default": 2}, saw=lambda: status(service))
    before = status(service)
    assert before["workers"] == []
    assert set(before["standing"]["oldest"]) == {"high", "default"}
    assert before["standing"]["head"] == 3
    assert before["perSecond"].get("Created", 0) > 0
    text = service.run("status").stdout  # no terminal: one look
    assert "no worker is registered" in text
    assert "no dispatcher leads" not in text

    service.start("worker")
    name = service.worker_id("worker")
    service.until(
        lambda: (
            [
                (worker["name"], [(one["type"], one["jobs"]) for one in worker["running"]])
                for worker in status(service)["workers"]
            ]
            == [(name, [("GATED", 2)])]
        ),
        saw=lambda: status(service),
    )
    text = service.run("status").stdout
    assert name in text
    assert "GATED 2" in text
    gate.touch()
    service.until_ended(*jobs)


def status(service: Service) -> dict[str, Any]:
    done = service.run("status", "--json")
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_status_in_a_terminal_is_drawn_again_until_ctrl_c(service: Service) -> None:
    service.start("api", "dispatcher", "projector", "worker")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "jobledger", "status"],
        env=os.environ | {"TERM": "xterm"} | {name: str(value) for name, value in service._settings.items()},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        seen = b""
        while seen.count(b"Jobledger at ") < 3:
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert service.worker_id("worker").encode() in seen
