"""Does what docs/writing-a-job-type.md says, with the blocks that stand there, and looks whether it is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "writing-a-job-type.md"

_BLOCK = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What a worker does, with what is installed in the directory that the first argument names.
_RUN = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
import msgspec
sys.path.insert(0, sys.argv[1])
from adapters.job_types.registry import load_job_types
from adapters.job_types.runner import JobTypeRunner
from commands.attempt import AttemptContext
from entrypoints.settings import Settings

async def main():
    settings = msgspec.to_builtins(Settings(), enc_hook=str)
    types = load_job_types(settings)
    with ThreadPoolExecutor(2) as threads:
        runner = JobTypeRunner(types, threads=threads, settings=settings, result_max_bytes=1000, kill_after=5)
        context = AttemptContext("0190f5fe-7c00-7a00-8000-000000000001", int(sys.argv[4]), datetime.now(UTC))
        outcome = await runner.run(sys.argv[2], sys.argv[3].encode(), context)
    limits = [types[sys.argv[2]].max_attempts, types[sys.argv[2]].timeout]
    print(msgspec.json.encode({"outcome": msgspec.structs.asdict(outcome), "limits": limits}).decode())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    """The files of the guide; a block with the title of an earlier one goes on where that ended."""
    files: defaultdict[str, str] = defaultdict(str)
    for title, text in _BLOCK.findall(GUIDE.read_text()):
        files[title] += text
    return files


@pytest.fixture(scope="module")
def source(blocks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("word jobs")
    for name in ("word_jobs.py", "pyproject.toml", "test_word_jobs.py"):
        (directory / name).write_text(blocks[name])
    return directory


@pytest.fixture(scope="module")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, built by pip; its dependencies are those of this very environment."""
    directory = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(directory), str(source)], check=True)
    return directory


def run(site: Path, job_type: str, payload: Any, *, attempt: int = 1) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, str(site), job_type, json.dumps(payload), str(attempt)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    for field in ("result", "error"):  # bytes of JSON, which JSON shows as base64
        if field in answer["outcome"]:
            answer["outcome"][field] = decode(answer["outcome"][field])
    return answer


def decode(base64: str) -> Any:
    return json.loads(b64decode(base64))


def test_the_first_file_is_short() -> None:
    first = next(text for title, text in _BLOCK.findall(GUIDE.read_text()) if title == "word_jobs.py")

    assert len([line for line in first.splitlines() if line.strip()]) <= 10


def test_the_job_of_the_guide_has_the_result_of_the_guide(site: Path, blocks: dict[str, str]) -> None:
    job = json.loads(blocks["job"])

    assert run(site, job["type"], job["payload"])["outcome"] == {"result": json.loads(blocks["result"])}


def test_a_payload_without_its_field_is_named(site: Path) -> None:
    outcome = run(site, "WORD_COUNT", {})["outcome"]

    assert "Object missing required field `text`" in outcome["error"]
    assert "Object missing required field `text`" in GUIDE.read_text()
    assert not outcome["permanent"]


def test_errors_are_permanent_or_wait_as_the_guide_says(site: Path) -> None:
    permanent = run(site, "WORD_LOOKUP", {"text": "no word!"})
    assert permanent["limits"] == [5, 10]
    assert permanent["outcome"]["permanent"]

    assert run(site, "WORD_LOOKUP", {"text": "queue"})["outcome"]["retry_after"] == 30
    assert run(site, "WORD_LOOKUP", {"text": "queue"}, attempt=2)["outcome"]["error"] == "KeyError: 'queue'"
    assert run(site, "WORD_LOOKUP", {"text": "log"})["outcome"] == {"result": "what happened, in order"}


def test_one_call_serves_many_jobs_and_one_alone_is_a_batch_of_one(site: Path) -> None:
    assert run(site, "WORD_STORE", {"text": "log"})["outcome"] == {"result": 3}
    assert run(site, "WORD_STORE", {"text": ""})["outcome"]["error"] == "ValueError: nothing to store"


def test_a_process_of_its_own_finds_the_package_too(site: Path) -> None:
    text = "a few words " * 1000 + "and a longer one"

    assert run(site, "LONGEST_WORD", {"text": text})["outcome"] == {"result": "longer"}


def test_a_type_made_from_the_settings_knows_them(site: Path) -> None:
    outcome = run(site, "WORD_FILE", {"text": ""})["outcome"]

    assert outcome == {"result": "output/0190f5fe-7c00-7a00-8000-000000000001.txt"}


def test_the_test_of_the_guide_passes(source: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_word_jobs.py"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
