"""The wheel holds every file that the code needs, and starts from where nothing of the checkout can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.until import until_now

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("domain", "commands", "projections", "adapters", "entrypoints", "sql", "jobledger")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory), cwd=CHECKOUT)
    [built] = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel's content as pip puts it there."""
    site = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    _run(*pip, "--no-deps", "--no-index", "--no-compile", "--target", str(site), str(wheel), cwd=site)
    return site


def test_it_holds_all_files_of_the_packages(wheel: Path) -> None:
    tracked = set(_run("git", "ls-files", "-z", *PACKAGES, cwd=CHECKOUT).split("\0")) - {""}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {name.partition("/")[0] for name in tracked} == set(PACKAGES)
    assert tracked - held == set()
    for ending in (".sql", ".lua", ".css", ".js", ".svg"):
        assert any(name.endswith(ending) for name in held), ending
    assert {name.partition("/")[0] for name in held if ".dist-info/" not in name} == set(PACKAGES)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)


def test_its_command_explains_itself_migrates_and_serves(installed: Path, empty_postgres_url: str) -> None:
    port = free_port()
    environ = _environ(installed) | {"DATABASE_URL": empty_postgres_url, "API_PORT": str(port), "LOG_FORMAT": "json"}
    command = (sys.executable, "-S", str(installed / "bin" / "jobledger"))
    assert "Begin with" in _run(*command, "--help", cwd=installed, environ=environ)
    assert "applied 0001_log" in _run(*command, "migrate", cwd=installed, environ=environ)
    assert _run(*command, "migrate", cwd=installed, environ=environ) == "the schema is up to date\n"

    output = installed / "api.txt"
    with output.open("wb") as file:
        api = subprocess.Popen([*command, "api"], cwd=installed, env=environ, stdout=file, stderr=subprocess.STDOUT)
    try:
        until_now(
            lambda: b"api ready" in output.read_bytes() or api.poll() is not None, within=60, saw=output.read_text
        )
        body = json.dumps({"type": "CSV_EXPORT", "payload": {"data": []}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/jobs", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
    finally:
        api.terminate()
        assert api.wait(30) == 0


def test_nothing_of_the_checkout_is_imported_from_there(installed: Path) -> None:
    code = (
        "import json, sys, pkgutil, importlib; packages = sys.argv[1:];"
        "names = [m.name for p in packages for m in pkgutil.walk_packages(importlib.import_module(p).__path__, p + '.')];"
        "skip = {'jobledger.__main__', 'adapters.embedded.launch'};"
        "files = [importlib.import_module(n).__file__ for n in names if n not in skip];"
        "print(json.dumps(files))"
    )
    files = json.loads(_run(sys.executable, "-S", "-c", code, *PACKAGES, cwd=installed, environ=_environ(installed)))
    assert len(files) > 50
    assert [file for file in files if not Path(file).is_relative_to(installed)] == []


def _environ(installed: Path) -> dict[str, str]:
    """With -S no .pth file is read, such as that by which the checkout is installed; the dependencies are named instead."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]),
    }


def _run(*command: str, cwd: Path, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
