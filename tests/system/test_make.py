"""The Makefile where the machine lacks something: one clear sentence, and nothing half made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(_MAKE is None, reason="there is no make here")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which only make's own business matters, in a path that needs quoting."""
    path = tmp_path / 'it\'s a "checkout"'
    path.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(_ROOT / name, path)
    return path


def test_make_alone_explains_itself(checkout: Path) -> None:
    said = _make(checkout, programs={}).stdout
    assert [line.split()[1] for line in said.splitlines()] == [
        *("run", "test", "fault-rows", "faults", "recovery", "soak", "bench", "audit", "lock", "clean")
    ]


def test_without_a_python_it_says_which_is_needed(checkout: Path) -> None:
    done = _make(checkout, "run", programs={"python3": "exit 1"})
    assert done.returncode != 0
    assert done.stderr.startswith("no Python of version 3.11 or newer is found")
    assert not (checkout / ".venv").exists()


def test_with_a_python_that_cannot_make_environments_it_says_what_to_install(checkout: Path) -> None:
    done = _make(checkout, "run", programs={"python3": 'case "$2" in *ensurepip*) exit 1;; esac'})
    assert done.returncode != 0
    assert done.stderr.startswith("python3 cannot make virtual environments")
    assert not (checkout / ".venv").exists()


def test_the_newest_python_makes_the_environment(checkout: Path) -> None:
    fake = 'case "$*" in "-m venv .venv") echo "$0" >&2; exit 1;; esac'
    done = _make(checkout, "run", programs={"python3": fake, "python3.12": fake, "python3.13": fake})
    assert "/python3.13\n" in done.stderr


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo none found", "No known vulnerabilities.\n"),
        ("echo Found 1 known vulnerability; exit 1", "Known vulnerabilities in what these pin: requirements"),
        ("echo no such host >&2; exit 1", "Not audited, as the advisories (pypi) could not be asked"),
    ],
)
def test_an_audit_that_could_not_ask_is_no_pass(checkout: Path, script: str, said: str) -> None:
    done = _make(checkout, "audit", "PIP_AUDIT=pip-audit", programs={"pip-audit": script, "tail": "cat"})
    assert said in done.stdout
    assert (done.returncode == 0) is (script == "echo none found")


def _make(checkout: Path, *goals: str, programs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # A PATH with the shell's own tools and these programs alone.
    path = checkout / "bin"
    path.mkdir()
    for tool in ("sh", "cat", "echo", "pwd", "rm", "touch"):
        found = shutil.which(tool)
        assert found is not None
        (path / tool).symlink_to(found)
    for name, script in programs.items():
        (path / name).write_text(f"#!/bin/sh\n{script}\n")
        (path / name).chmod(0o755)
    assert _MAKE is not None
    return subprocess.run(
        [_MAKE, *goals], cwd=checkout, env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )
