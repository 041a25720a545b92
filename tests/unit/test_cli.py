"""The command line: what each command says of itself, and how it ends when it cannot do its work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from entrypoints.cli import main
from tests.conftest import free_port

_COMMANDS = [
    "up",
    "api",
    "dispatcher",
    "worker",
    "projector",
    "mail-catcher",
    "migrate",
    "verify",
    "rebuild",
    "submit",
    "retry",
]  # and "keys", which has commands of its own

_ARGUMENTS = {"rebuild": ["jobs"], "submit": ["jobs.ndjson"], "retry": ["--failed-since", "2h"]}


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = _exit_code([command, "--help"])
    output = " ".join(capsys.readouterr().out.split())
    assert code == 0
    assert "Example: " in output
    assert output.endswith(" ".join(["jobledger", command, *_ARGUMENTS.get(command, [])]))


@pytest.mark.parametrize("arguments", ["create --name shop --scope submit", "list", "revoke shop"])
def test_each_command_about_keys_does_too(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(["keys", arguments.split(maxsplit=1)[0], "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert output.endswith(f"Example: jobledger keys {arguments}")


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(command in output for command in _COMMANDS)


def test_the_help_needs_none_of_what_the_processes_need() -> None:
    program = (
        "import sys\nfrom entrypoints.cli import main\n"
        "try: main(['worker', '--help'])\n"
        "except SystemExit: print([m for m in ('psycopg', 'redis', 'litestar', 'uvicorn') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_a_process_loads_no_command_but_its_own() -> None:
    program = (
        "import sys\nfrom entrypoints.cli import main\n"
        "try: main(['worker', '--help'])\n"
        "except SystemExit: print([m for m in sys.modules if m.endswith(('_command', 'health_check'))])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


@pytest.mark.parametrize("argv", [["dance"], ["up", "--loud"], ["worker", "twice"], ["rebuild"], ["rebuild", "events"]])
def test_wrong_usage_is_one_sentence_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("jobledger: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_setting_that_cannot_be_used_is_one_sentence_and_exit_code_1(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PORT", "seventy")
    assert _exit_code([command, *_ARGUMENTS.get(command, [])]) == 1
    assert capsys.readouterr().err == "jobledger: API_PORT='seventy': Expected `int`, got `str`\n"


@pytest.mark.parametrize("command", ["api", "dispatcher", "worker", "projector", "migrate"])
def test_a_process_without_a_database_says_which_setting_is_missing(command: str) -> None:
    environ = os.environ | {"DATABASE_URL": "", "REDIS_URL": "redis://127.0.0.1:1/0", "API_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "jobledger", command], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def _exit_code(argv: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return ended.value.code
