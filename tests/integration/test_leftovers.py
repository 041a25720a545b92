"""Temporary files of dead attempts go; those of live ones, and all other files, stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from adapters.files.leftovers import sweep_leftovers
from adapters.files.whole_file import whole_file

HOUR = 3600.0

_WRITE_AND_WAIT = """
import sys
from pathlib import Path
from adapters.files.whole_file import whole_file
with whole_file(Path(sys.argv[1]) / "export.csv", owner="j1-1") as file:
    file.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def writer(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE_AND_WAIT, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def make_older(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_file_of_a_killed_writer_goes_once_it_is_old(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        process.kill()
    (leftover,) = tmp_path.iterdir()

    assert sweep_leftovers(tmp_path, HOUR) == []
    make_older(leftover, 2 * HOUR)
    assert sweep_leftovers(tmp_path, HOUR) == [leftover]
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_live_writer_stays_however_old(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        (temporary,) = tmp_path.iterdir()
        make_older(temporary, 1000 * HOUR)

        assert sweep_leftovers(tmp_path, HOUR) == []

        process.communicate()
    assert process.returncode == 0
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("export.csv", b"half")]


def test_a_stopped_writer_is_a_live_one(tmp_path: Path) -> None:
    with whole_file(tmp_path / "export.csv", owner="j1-1") as file:
        file.write(b"all")
        (temporary,) = tmp_path.iterdir()
        make_older(temporary, 1000 * HOUR)
        assert sweep_leftovers(tmp_path, HOUR) == []

    assert (tmp_path / "export.csv").read_bytes() == b"all"


def test_other_files_are_none_of_its_business(tmp_path: Path) -> None:
    names = ["export.csv", ".hidden.tmp", ".jobledger-x.csv", "jobledger-x.tmp"]
    for name in names:
        (tmp_path / name).touch()
        make_older(tmp_path / name, 1000 * HOUR)
    (tmp_path / ".jobledger-link.tmp").symlink_to(tmp_path / "export.csv")
    (tmp_path / ".jobledger-directory.tmp").mkdir()

    assert sweep_leftovers(tmp_path, 0) == []
    assert len(list(tmp_path.iterdir())) == len(names) + 2


def test_a_directory_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    assert sweep_leftovers(tmp_path / "output") == []
