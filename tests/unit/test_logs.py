"""What the log lines look like, in a process of their own: setting them up is for the whole process."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime

_PROGRAM = """
import logging, warnings, structlog
from entrypoints.logs import set_up_logs
from entrypoints.settings import read_settings
set_up_logs("worker", read_settings(dotenv=None))
log = structlog.get_logger()
log.debug("too quiet")
log.info("attempt failed", job_id="j1", attempt=2, text="two words", raw=b"x", where={1})
logging.getLogger("uvicorn").warning("from %s", "a library")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def test_without_a_terminal_each_line_is_json_with_time_level_process_and_fields() -> None:
    failed, library, broken = (json.loads(line) for line in _run({}).splitlines())
    assert list(failed) == ["timestamp", "level", "process", "event", "job_id", "attempt", "text", "raw", "where"]
    assert failed["event"] == "attempt failed"
    assert (failed["level"], failed["process"], failed["attempt"]) == ("info", "worker", 2)
    assert failed["timestamp"].endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(failed["timestamp"])).total_seconds() < 60
    assert (library["event"], library["level"], library["logger"]) == ("from a library", "warning", "uvicorn")
    assert library["process"] == "worker"
    assert "ZeroDivisionError: division by zero" in broken["exception"]


def test_lines_for_people_have_no_colours_unless_they_go_to_a_terminal() -> None:
    output = _run({"LOG_FORMAT": "console", "LOG_LEVEL": "debug"})
    assert "\x1b" not in output
    assert re.search(r"Z debug +worker +too quiet$", output, re.MULTILINE)
    assert re.search(r"Z info +worker +attempt failed .*attempt=2.* text='two words'", output)
    assert "ZeroDivisionError: division by zero" in output


def test_in_a_terminal_lines_are_for_people_and_coloured() -> None:
    output = _run_in_terminal({})
    assert re.search(r"worker\s+\x1b\[0m attempt failed", output)


def test_a_terminal_whose_user_wants_no_colours_gets_none() -> None:
    output = _run_in_terminal({"NO_COLOR": "1"})
    assert "\x1b" not in output
    assert "attempt failed" in output


def test_a_reader_that_goes_away_stops_nothing() -> None:
    program = _PROGRAM.replace("log.debug", "import os, sys; os.close(1); log.info('lost'); os.dup2(2, 1); log.debug")
    process = subprocess.run(
        [sys.executable, "-c", program], env=_environ({}), capture_output=True, text=True, check=True
    )
    assert "attempt failed" in process.stderr


def _run(environ: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=_environ(environ), capture_output=True, text=True, check=True
    ).stdout


def _run_in_terminal(environ: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen([sys.executable, "-c", _PROGRAM], env=_environ(environ), stdout=theirs)
        os.close(theirs)
        output = b""
        try:
            while part := terminal.read(4096):
                output += part
        except OSError:  # EIO: the other side is closed
            pass
        assert process.wait(30) == 0
    return output.decode()


def _environ(more: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LOG_") and name != "NO_COLOR"}
    return ours | more
