"""The supervisor over real processes: small programs that stand in for the service's own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from structlog.typing import EventDict

from adapters.embedded.program import CannotStart, Line, Program
from entrypoints.supervisor import Part, Supervised, stop_in_order
from tests.until import until

_OBEDIENT = """
    import signal, time
    signal.signal(signal.SIGTERM, lambda *_: say("stopped") or exit(0))
    say("running")
    while True: time.sleep(60)
"""
_DEAF = """
    import signal, time
    signal.signal(signal.SIGTERM, lambda *_: say("heard"))
    say("running")
    while True: time.sleep(60)
"""


class _Bench:
    """Makes parts of small Python programs that `say` things into one common file, in the order in which they happen."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hurry = asyncio.Event()
        self.file = home / "said"
        self.file.touch()

    def part(self, name: str, program: str, **options: Any) -> Supervised:
        source = (
            f"import os, sys\ndef say(text):\n    fd = os.open({str(self.file)!r}, os.O_WRONLY | os.O_APPEND)\n"
            f"    os.write(fd, f'{name} {{text}} {{os.getpid()}}\\n'.encode())\n" + textwrap.dedent(program)
        )
        started = Program(
            name=name,
            argv=(sys.executable, "-c", source),
            environ=dict(os.environ),
            cwd=self.home,
            stops=(signal.SIGTERM,),
        )
        given: dict[str, Any] = {"patience": 30.0, **options}
        return Supervised(Part(program=started, **given), hurry=self.hurry)

    def said(self, *texts: str) -> list[str]:
        lines = [line.rsplit(" ", 1)[0] for line in self.file.read_text().splitlines()]
        return [line for line in lines if not texts or line in texts]

    def pids(self, text: str) -> list[int]:
        return [int(line.rsplit(" ", 1)[1]) for line in self.file.read_text().splitlines() if line.startswith(text)]

    async def until_said(self, text: str, *, times: int = 1) -> None:
        await until(lambda: len(self.said(text)) >= times, within=60, saw=self.said)


@pytest.fixture
def bench(tmp_path: Path) -> _Bench:
    return _Bench(tmp_path)


async def test_a_part_that_dies_is_started_again_after_a_pause_and_a_log_line_says_so(bench: _Bench) -> None:
    part = bench.part("worker", _OBEDIENT)
    with structlog.testing.capture_logs() as logs:
        part.start()
        await bench.until_said("worker running")
        os.kill(bench.pids("worker running")[0], signal.SIGKILL)
        await bench.until_said("worker running", times=2)
        await part.stop()
    (line,) = _warnings(logs)
    assert line["event"] == "a part ended and is started again"
    assert (line["part"], line["ended"], line["after_seconds"]) == ("worker", "killed by SIGKILL", 1.0)
    assert not part.had_to_be_killed


async def test_a_part_that_always_dies_is_started_again_later_each_time(bench: _Bench) -> None:
    part = bench.part("broken", "say('running'); sys.exit(7)")
    with structlog.testing.capture_logs() as logs:
        part.start()
        await bench.until_said("broken running", times=3)
        await until(lambda: len(_warnings(logs)) >= 3)
        await part.stop()
    lines = _warnings(logs)
    assert [line["after_seconds"] for line in lines] == [1.0, 2.0, 4.0]
    assert {line["ended"] for line in lines} == {"exit code 7"}


async def test_a_part_that_waits_to_be_started_again_stops_at_once(bench: _Bench) -> None:
    part = bench.part("broken", "say('running'); sys.exit(7)")
    with structlog.testing.capture_logs() as logs:
        part.start()
        await until(lambda: len(_warnings(logs)) >= 1)
        async with asyncio.timeout(0.9):
            await part.stop()


async def test_a_program_that_is_not_there_is_tried_again_and_not_fatal(tmp_path: Path) -> None:
    program = Program(name="gone", argv=("/nowhere/program",), environ={}, cwd=tmp_path / "nowhere")
    part = Supervised(Part(program=program, patience=1.0), hurry=asyncio.Event())
    with structlog.testing.capture_logs() as logs:
        part.start()
        await until(lambda: len(_warnings(logs)) >= 1)
        await part.stop()
    assert "not started" in _warnings(logs)[0]["ended"]


async def test_stages_stop_one_after_the_other_and_each_stage_together(bench: _Bench) -> None:
    stages = [[bench.part("api", _OBEDIENT)], [bench.part("worker", _OBEDIENT), bench.part("projector", _OBEDIENT)]]
    stages.append([bench.part("database", _OBEDIENT)])
    for part in (part for stage in stages for part in stage):
        part.start()
        await bench.until_said(f"{part.name} running")
    await stop_in_order(stages)
    stopped = [line.split()[0] for line in bench.said() if line.endswith("stopped")]
    assert stopped[0] == "api"
    assert set(stopped[1:3]) == {"worker", "projector"}
    assert stopped[3] == "database"


async def test_a_part_that_does_not_stop_is_killed_when_its_time_is_over(bench: _Bench) -> None:
    part = bench.part("deaf", _DEAF, patience=0.5)
    part.start()
    await bench.until_said("deaf running")
    with structlog.testing.capture_logs() as logs:
        await part.stop()
    assert part.had_to_be_killed
    assert bench.said("deaf heard") == ["deaf heard"]
    assert "a part does not stop and is killed" in [line["event"] for line in logs]


async def test_impatience_ends_the_waiting_for_a_part_that_does_not_stop(bench: _Bench) -> None:
    part = bench.part("deaf", _DEAF, patience=600.0)
    part.start()
    await bench.until_said("deaf running")
    with structlog.testing.capture_logs():
        stopping = asyncio.create_task(part.stop())
        await bench.until_said("deaf heard")
        assert not stopping.done()
        bench.hurry.set()
        async with asyncio.timeout(30):
            await stopping


async def test_what_a_dead_part_had_started_itself_does_not_outlive_it(bench: _Bench) -> None:
    part = bench.part(
        "worker",
        "import subprocess, time\n"
        + textwrap.dedent("""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        os.write(os.open("child", os.O_CREAT | os.O_WRONLY), str(child.pid).encode())
        say("running")
        time.sleep(600)
    """),
    )
    with structlog.testing.capture_logs():
        part.start()
        await bench.until_said("worker running")
        child = int((bench.home / "child").read_text())
        os.kill(bench.pids("worker running")[0], signal.SIGKILL)
        await until(lambda: _is_gone(child))
        await part.stop()


async def test_the_first_death_before_it_is_ready_says_why_in_one_sentence(bench: _Bench) -> None:
    program = "print('noise'); print('LOUD: the disk is full', flush=True); sys.exit(1)"
    read_line: Callable[[str], Line] = lambda text: Line("error" if text.startswith("LOUD") else "debug", text)  # noqa: E731
    part = bench.part("server", program, is_ready=lambda: False, read_line=read_line)
    with structlog.testing.capture_logs():
        part.start()
        with pytest.raises(CannotStart, match=r"^server ended at once: LOUD: the disk is full$"):
            await part.ready(within=60)
        await part.stop()


async def test_a_part_that_never_gets_ready_is_given_up(bench: _Bench) -> None:
    part = bench.part("server", _OBEDIENT, is_ready=lambda: False)
    part.start()
    with pytest.raises(CannotStart, match="server does not get ready within 0 seconds"):
        await part.ready(within=0.1)
    await part.stop()


async def test_what_a_server_says_becomes_log_lines_once_it_is_ready(bench: _Bench) -> None:
    program = """
        import time
        print("starting", flush=True)
        while not os.path.exists("go"): time.sleep(0.01)
        print("x" * 200_000, flush=True)
        print("trouble", flush=True)
        time.sleep(600)
    """
    part = bench.part("server", program, is_ready=lambda: True, read_line=lambda text: Line("warning", text))
    with structlog.testing.capture_logs() as logs:
        part.start()
        await part.ready(within=60)
        (bench.home / "go").touch()
        await until(lambda: any(line["event"] == "trouble" for line in logs), saw=lambda: logs)
        await part.stop()
    by_text = {line["event"]: line for line in logs}
    assert by_text["trouble"]["log_level"] == "warning"
    assert by_text["trouble"]["process"] == "server"


async def test_no_part_outlives_a_supervisor_that_is_killed(bench: _Bench) -> None:
    source = """
        import asyncio, os, sys
        from pathlib import Path
        import structlog
        from adapters.embedded.program import Program
        from entrypoints.supervisor import Part, Supervised
        async def main():
            child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
            program = Program(
                name="child", argv=(sys.executable, "-c", child), environ=dict(os.environ), cwd=Path.cwd()
            )
            supervised = Supervised(Part(program=program, patience=1), hurry=asyncio.Event())
            supervised.start()
            await asyncio.sleep(600)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        asyncio.run(main())
    """
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(source), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert supervisor.stdout is not None
        child = int(await supervisor.stdout.readline())
        assert not _is_gone(child)
    finally:
        supervisor.kill()
        await supervisor.wait()
    await until(lambda: _is_gone(child))


async def test_ctrl_c_in_the_terminal_does_not_reach_the_parts(bench: _Bench) -> None:
    part = bench.part("worker", _OBEDIENT)
    part.start()
    await bench.until_said("worker running")
    (pid,) = bench.pids("worker running")
    assert os.getsid(pid) == pid != os.getsid(0)
    await part.stop()


def _warnings(logs: list[EventDict]) -> list[EventDict]:
    return [line for line in logs if line["log_level"] == "warning"]


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
