"""The lock files: what they pin is what was meant, wherever it is fetched from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FILES = [
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-run.lock",
    "requirements-build.lock",
    "requirements-audit.lock",
    "benchmarks/rivals.lock",
]


@pytest.mark.parametrize("name", _FILES)
def test_a_lock_file_names_no_index_and_no_host(name: str) -> None:
    text = (_ROOT / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|\s@\s", text)


@pytest.mark.parametrize("name", _FILES)
def test_everything_in_a_lock_file_has_one_version_and_hashes(name: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", (_ROOT / name).read_text()) if not entry.startswith("#")]
    assert len(entries) > 5
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_what_the_checks_install_leaves_the_versions_of_the_service_alone() -> None:
    assert _versions("requirements.lock").items() <= _versions("requirements-dev.lock").items()


@pytest.mark.parametrize("name", ["requirements-run.lock", "requirements-build.lock"])
def test_the_image_is_made_of_the_versions_that_are_tested(name: str) -> None:
    assert _versions(name).items() <= _versions("requirements.lock").items()


def test_the_image_holds_all_that_the_processes_need_and_none_of_the_embedded_servers() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=~]", name)[0] for name in project["dependencies"]}
    embedded = {re.split(r"[\[<>=~]", name)[0] for name in project["optional-dependencies"]["embedded"]}
    held = _versions("requirements-run.lock").keys()
    assert wanted <= held
    assert not embedded & held


def _versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", (_ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile", "benchmarks/tools.py"])
def test_nothing_but_the_lock_says_what_is_installed(name: str) -> None:
    # Else pip looks at the newest release of what a package wants with an extra, and refuses it: no hash is known of it.
    text = (_ROOT / name).read_text()
    installs = re.findall(r"install[\"', ]+(?:--no-deps[\"', ]+)?--require-hashes", text)
    assert installs
    assert all("--no-deps" in install for install in installs), installs
