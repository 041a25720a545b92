"""How commands end: one exit code for each way, and one sentence where there is something to say."""

from __future__ import annotations

import asyncio
import builtins
import sys
from typing import Any, NoReturn

import pytest

from domain.errors import JobledgerError
from entrypoints.command_frame import INTERRUPTED, TERMINATED, WRONG_USAGE, WrongUsage, run_command
from entrypoints.console import main
from entrypoints.settings import Settings


class Impossible(JobledgerError):
    """It cannot be done."""

    code = "impossible"


def raising(exc: BaseException) -> Any:
    def work(settings: Settings) -> NoReturn:
        raise exc

    return work


@pytest.mark.parametrize(
    ("exc", "code", "said"),
    [
        (Impossible("so it is:\n  not possible"), 7, "jobledger: so it is: not possible\n"),
        (WrongUsage("not both"), WRONG_USAGE, "jobledger: not both\n"),
        (KeyboardInterrupt(), INTERRUPTED, "jobledger: interrupted; nothing was changed\n"),
        (asyncio.CancelledError(), TERMINATED, "jobledger: interrupted; nothing was changed\n"),
    ],
)
def test_each_way_to_end_has_its_exit_code_and_sentence(
    exc: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(raising(exc), cannot=7, interrupted="nothing was changed") == code
    assert capsys.readouterr().err == said


def test_what_the_work_answers_is_the_exit_code() -> None:
    async def later(settings: Settings) -> int:
        return 3 if settings.max_attempts else 4

    assert (run_command(lambda _: 3), run_command(later)) == (3, 3)


def test_an_error_that_was_not_foreseen_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()))


def test_an_interruption_while_the_command_line_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = builtins.__import__

    def interrupted(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "entrypoints.cli":
            raise KeyboardInterrupt
        return imported(name, *arguments, **named)

    monkeypatch.delitem(sys.modules, "entrypoints.cli", raising=False)
    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == INTERRUPTED
    assert capsys.readouterr().err == ""
