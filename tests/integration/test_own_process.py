"""An attempt in a process of its own: it may die, hang, print and flood, and the worker always has an outcome."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from adapters.job_types.registry import load_job_type
from adapters.job_types.runner import JobTypeRunner
from commands.attempt import AttemptContext, Errored, Outcome, Stopped, Succeeded
from tests.packages import install_job_types
from tests.until import until

JOB_ID = "0190f5fe-7c00-7a00-8000-000000000001"
CREATED_AT = datetime(2026, 1, 27, 10, 30, 0, 123000, tzinfo=UTC)
KILL_AFTER = 0.3

MODULE = """
import asyncio, ctypes, logging, os, signal, subprocess, sys, time
import jobledger

@jobledger.job_type("DO", runs_in="process")
def do(payload, context):
    return globals()[payload["what"]](payload, context)

@jobledger.job_type("DO_ASYNC")
async def do_async(payload, context):
    return await globals()[payload["what"]](payload, context)

def describe(payload, context):
    return {"pid": os.getpid(), "job": context.job_id, "attempt": context.attempt, "at": context.created_at,
            "stdin": sys.stdin.read(), "settings": SETTINGS}

def exits(payload, context): sys.exit(3)
def vanishes(payload, context): os._exit(7)
def crashes(payload, context): ctypes.string_at(0)
def is_killed(payload, context): os.kill(os.getpid(), signal.SIGKILL)
def closes_all(payload, context): os.closerange(0, 100)
def raises(payload, context): raise ValueError("no")
def gives_up(payload, context): raise jobledger.PermanentError("never")
def wants_later(payload, context): raise jobledger.RetryLater("busy", seconds=7)
def returns_object(payload, context): return object()
def returns_much(payload, context): return "x" * 5_000_000

def prints(payload, context):
    print("to stdout")
    os.write(2, b"to stderr, no end of line \\xff")
    os.write(1, b"x" * 9000 + b"\\n")

def logs(payload, context):
    context.log.info("sent", extra={"to": "a@example.com", "odd": object(), "bad": "\\ud800"})
    logging.getLogger("library").warning("careful")
    logging.getLogger("library").debug("not wanted")
    context.log.error("x" * 100_000, extra={"much": "y" * 10_000_000})
    context.progress(0.5, "half")

def progresses(payload, context):
    for number in range(200_000):
        context.progress(number / 200_000)
    context.progress(1, "all \\0 \\ud800")
    while not os.path.exists(payload["file"]):
        time.sleep(0.01)

def survives_sigterm(payload, context):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    return "alive"

def announce(payload):
    with open(payload["file"] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(payload["file"] + ".part", payload["file"])

def waits_for_stop(payload, context):
    announce(payload)
    while not context.should_stop:
        time.sleep(0.001)
    raise RuntimeError("told to stop")

def hangs(payload, context):
    announce(payload)
    time.sleep(600)

def leaves_a_program(payload, context):
    program = subprocess.Popen([sys.executable, "-c", "import time; print('left', flush=True); time.sleep(600)"])
    return program.pid

def forks(payload, context):
    if os.fork() == 0:
        context.log.info("not from me")
        time.sleep(600)
    os._exit(9)

def a_thread_goes_on(payload, context):
    import threading
    threading.Thread(target=time.sleep, args=(600,)).start()
    return "done"

async def waits_async(payload, context):
    announce(payload)
    await asyncio.Event().wait()

async def a_task_exits(payload, context):
    async def leave(): sys.exit(4)
    await asyncio.gather(leave())

async def returns_async(payload, context):
    return "async"
"""


@pytest.fixture
def context() -> AttemptContext:
    return AttemptContext(JOB_ID, 2, CREATED_AT)


@pytest.fixture
async def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobTypeRunner]:
    monkeypatch.syspath_prepend(tmp_path)
    module = MODULE.replace("SETTINGS}", 'os.environ.get("NONE")}')
    types = {"DO": "attempt_module:do", "DO_ASYNC": "attempt_module:do_async"}
    install_job_types(tmp_path, package="attempts", modules={"attempt_module": module}, job_types=types)
    monkeypatch.delitem(sys.modules, "attempt_module", raising=False)
    with ThreadPoolExecutor(4) as threads:
        yield JobTypeRunner(
            {name: load_job_type(name, {}) for name in types},
            threads=threads,
            settings={"OUTPUT_DIR": tmp_path / "output"},
            result_max_bytes=100_000,
            kill_after=KILL_AFTER,
        )


Do = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def do(runner: JobTypeRunner, context: AttemptContext) -> Do:
    async def do(what: str, **payload: Any) -> Outcome:
        return await runner.run("DO", json.dumps({"what": what, **payload}).encode(), context)

    return do


@pytest.fixture
def do_async(runner: JobTypeRunner, context: AttemptContext) -> Do:
    async def do(what: str, **payload: Any) -> Outcome:
        document = json.dumps({"what": what, **payload}).encode()
        return await runner.run("DO_ASYNC", document, context, isolated=True)

    return do


def text_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Errored | Stopped)
    return msgspec.json.decode(outcome.error, type=str)


async def test_the_code_runs_elsewhere_and_knows_its_attempt(do: Do) -> None:
    outcome = await do("describe")

    assert isinstance(outcome, Succeeded)
    result = json.loads(outcome.result)
    assert result.pop("pid") != os.getpid()
    assert result == {"job": JOB_ID, "attempt": 2, "at": "2026-01-27T10:30:00.123000Z", "stdin": "", "settings": None}


@pytest.mark.parametrize(
    ("what", "ending"),
    [
        ("vanishes", "ended with exit code 7 before"),
        ("closes_all", "ended with exit code"),
        ("crashes", "ended by signal SIGSEGV before"),
        ("is_killed", "ended by signal SIGKILL (out of memory?) before"),
        ("forks", "ended with exit code 9 before"),
    ],
)
async def test_a_process_that_dies_is_an_ordinary_error_that_says_how(do: Do, what: str, ending: str) -> None:
    outcome = await do(what)

    assert isinstance(outcome, Errored)
    assert not outcome.permanent
    assert text_of(outcome).startswith("ProcessEnded: the attempt's process ")
    assert ending in text_of(outcome)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("raises", Errored(b'"ValueError: no"')),
        ("exits", Errored(b'"SystemExit: 3"')),
        ("gives_up", Errored(b'"PermanentError: never"', permanent=True)),
        ("wants_later", Errored(b'"RetryLater: busy"', retry_after=7.0)),
        ("survives_sigterm", Succeeded(b'"alive"')),
        ("a_thread_goes_on", Succeeded(b'"done"')),
    ],
)
async def test_what_the_code_says_arrives(do: Do, what: str, expected: Outcome) -> None:
    assert await do(what) == expected


@pytest.mark.parametrize("what", ["returns_object", "returns_much"])
async def test_a_result_that_cannot_be_kept_is_permanent(do: Do, what: str) -> None:
    outcome = await do(what)

    assert isinstance(outcome, Errored)
    assert outcome.permanent


async def test_what_the_code_prints_goes_to_the_log_and_damages_nothing(
    do: Do, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="jobledger.job"):
        assert await do("prints") == Succeeded(b"null")

    lines = [vars(record).get("line", "") for record in caplog.records]
    assert lines[0] == "to stdout"
    assert lines[1].startswith("to stderr, no end of line \ufffdxxx")
    assert max(map(len, lines)) < 5000
    assert {vars(record)["job_id"] for record in caplog.records} == {JOB_ID}


async def test_what_the_code_logs_and_reports_arrives_with_its_fields(
    do: Do, context: AttemptContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="jobledger.job"):
        assert await do("logs") == Succeeded(b"null")

    sent, library, long = caplog.records
    assert (sent.getMessage(), sent.levelname) == ("sent", "INFO")
    assert vars(sent)["to"] == "'a@example.com'"  # described, since one of its neighbours could not be sent
    assert vars(sent)["attempt"] == 2
    assert (library.getMessage(), vars(library)["logger"]) == ("careful", "library")
    assert len(long.getMessage()) < 5000
    assert context.latest_progress == (0.5, "half")


async def test_of_progress_as_often_as_the_code_likes_the_worker_hears_the_newest_a_few_times(
    do: Do, context: AttemptContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[float] = []
    hear = AttemptContext.progress

    def listen(self: AttemptContext, fraction: float, note: str = "") -> None:
        heard.append(fraction)
        hear(self, fraction, note)
        if fraction == 1:
            (tmp_path / "all heard").touch()

    monkeypatch.setattr(AttemptContext, "progress", listen)

    assert await do("progresses", file=str(tmp_path / "all heard")) == Succeeded(b"null")
    assert heard[0] == 0
    assert len(heard) < 200
    assert context.latest_progress == (1.0, "all ␀ \\ud800")


async def started(file: Path, *, saw: Callable[[], object]) -> int:
    """Wait until the code has announced itself; gives its process id."""
    await until(file.exists, within=30, saw=saw)
    return int(file.read_text())  # noqa: ASYNC240 - a few bytes


async def test_a_plain_function_is_told_to_stop(do: Do, context: AttemptContext, tmp_path: Path) -> None:
    task = asyncio.ensure_future(do("waits_for_stop", file=str(tmp_path / "pid")))
    await started(tmp_path / "pid", saw=lambda: task)

    context.stop()
    task.cancel()

    assert await task == Stopped(b'"RuntimeError: told to stop"')


async def test_an_async_function_is_cancelled(do_async: Do, context: AttemptContext, tmp_path: Path) -> None:
    task = asyncio.ensure_future(do_async("waits_async", file=str(tmp_path / "pid")))
    await started(tmp_path / "pid", saw=lambda: task)

    context.stop()

    assert await task == Stopped(b'"CancelledError"')


async def test_a_process_that_does_not_stop_is_killed(do: Do, context: AttemptContext, tmp_path: Path) -> None:
    task = asyncio.ensure_future(do("hangs", file=str(tmp_path / "pid")))
    pid = await started(tmp_path / "pid", saw=lambda: task)

    context.stop()
    task.cancel()

    assert (
        text_of(await task)
        == "ProcessEnded: the attempt's process was killed 0.3 seconds after it had been told to stop"
    )
    assert not psutil.pid_exists(pid)


async def test_async_code_runs_isolated(do_async: Do) -> None:
    assert await do_async("returns_async") == Succeeded(b'"async"')
    assert text_of(await do_async("a_task_exits")) == "SystemExit: 4"


async def test_what_the_code_leaves_running_ends_with_the_attempt(do: Do) -> None:
    outcome = await do("leaves_a_program")

    assert isinstance(outcome, Succeeded)
    await until(lambda: not running(int(outcome.result)), within=30, saw=lambda: outcome)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # an orphan whose reaper takes its time has ended
    except psutil.NoSuchProcess:
        return False


async def test_a_type_that_is_not_installed_there_is_an_error(
    runner: JobTypeRunner, context: AttemptContext, tmp_path: Path
) -> None:
    (tmp_path / "attempt_module.py").unlink()

    outcome = await runner.run("DO", b"{}", context)

    assert text_of(outcome).startswith(
        "UnusableJobType: the entry point DO = attempt_module:do of attempts 1.0 cannot be loaded"
    )


_WORKER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from adapters.job_types.registry import load_job_type
from adapters.job_types.runner import JobTypeRunner
from commands.attempt import AttemptContext
sys.path.insert(0, sys.argv[1])

async def main():
    runner = JobTypeRunner({"DO": load_job_type("DO", {})}, threads=ThreadPoolExecutor(1), settings={},
                           result_max_bytes=1000, kill_after=600)
    await runner.run("DO", sys.argv[2].encode(), AttemptContext("j1", 1, datetime.now(UTC)))

asyncio.run(main())
"""


@pytest.mark.usefixtures("runner")
async def test_a_process_does_not_outlive_its_worker(tmp_path: Path) -> None:
    payload = json.dumps({"what": "hangs", "file": str(tmp_path / "pid")})
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", _WORKER, str(tmp_path), payload)
    pid = await started(tmp_path / "pid", saw=lambda: worker)
    assert running(pid)

    worker.kill()
    await worker.wait()

    await until(lambda: not running(pid), within=30, saw=lambda: pid)
