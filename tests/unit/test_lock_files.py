"""The lock files: what they pin is what was meant, wherever it is fetched from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FILES = ["requirements.lock", "requirements-dev.lock"]


@pytest.mark.parametrize("name", _FILES)
def test_a_lock_file_names_no_index_and_no_host(name: str) -> None:
    text = (_ROOT / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|\s@\s", text)


@pytest.mark.parametrize("name", _FILES)
def test_everything_in_a_lock_file_has_one_version_and_hashes(name: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", (_ROOT / name).read_text()) if not entry.startswith("#")]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_what_the_checks_install_leaves_the_versions_of_the_service_alone() -> None:
    service, checks = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (_ROOT / name).read_text(), re.MULTILINE)) for name in _FILES
    )
    assert service.items() <= checks.items()
