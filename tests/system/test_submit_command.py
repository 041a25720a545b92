"""`jobledger submit`, against a running API: files and the standard input, once and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.system.service import Service


def lines(count: int, *, first: int = 1) -> str:
    return "".join(f'{{"type": "NOOP", "payload": {n}}}\n' for n in range(first, first + count))


def jobs_in(service: Service) -> int:
    [[count]] = service.ask("select count(*) from events where type = 'Created'")
    return int(count)


def url_of(service: Service) -> str:
    return str(service.http.base_url)


def test_a_file_is_submitted_once_however_often_it_is_tried(shared: Service, tmp_path: Path) -> None:
    file = tmp_path / "jobs.ndjson"
    file.write_text(lines(25) + '{"type": "NOPE"}\n')
    before = jobs_in(shared)

    done = [shared.run("submit", str(file), "--batch", "10", "--url", url_of(shared)) for _ in range(2)]

    assert [one.returncode for one in done] == [3, 3]
    assert "line 26: type must be one of " in done[0].stdout
    assert "25 created, 1 refused in " in done[0].stdout
    assert "0 created, 25 there already, 1 refused in " in done[1].stdout
    assert jobs_in(shared) == before + 25

    file.write_text(lines(3))  # another file by now, so another run
    changed = shared.run("submit", str(file), "--url", url_of(shared))
    assert (changed.returncode, "3 created in " in changed.stdout) == (0, True)


def test_an_interrupted_run_is_gone_on_with_under_its_name(shared: Service) -> None:
    before = jobs_in(shared)
    argv = [sys.executable, "-P", "-m", "jobledger", "submit", "-", "--run", "nightly", "--batch", "100"]
    argv += ["--url", url_of(shared)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as cut_off:
        assert cut_off.stdin is not None
        assert cut_off.stderr is not None
        cut_off.stdin.write(lines(250))
        cut_off.stdin.flush()
        shared.until(lambda: jobs_in(shared) == before + 200)
        cut_off.send_signal(signal.SIGINT)
        assert cut_off.wait(30) == 130
        assert "repeat it with --run nightly" in cut_off.stderr.read()

    again = subprocess.run(argv, input=lines(300), capture_output=True, text=True, check=True)
    assert "100 created, 200 there already in " in again.stdout
    assert jobs_in(shared) == before + 300


def test_what_cannot_be_submitted_is_one_sentence(shared: Service, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(lines(1))
    for argv, said in (
        ([str(tmp_path / "nothing")], "No such file or directory"),
        ([str(tmp_path / "jobs"), "--run", 'a"b'], "the run's name"),
        ([str(tmp_path / "jobs"), "--url", "http://127.0.0.1:1", "--patience", "0"], "does not answer"),
        ([str(tmp_path / "jobs"), "--url", "here"], "is no URL"),
    ):
        done = shared.run("submit", *argv)
        assert done.returncode == 2, done.stdout
        assert said in done.stdout  # after the summary or before it: the two outputs are buffered each in its way
