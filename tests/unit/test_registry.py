"""Job types are found by their entry points; what cannot be used is said clearly, with its distribution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from adapters.job_types.code import UnusableJobType
from adapters.job_types.registry import load_job_type, load_job_types
from domain.errors import UnknownJobType
from entrypoints.settings import Settings
from tests.packages import install_job_types

SETTINGS = msgspec.to_builtins(Settings(), enc_hook=str) | {"GREETING": "Hello"}

MODULE = """
import jobledger

@jobledger.job_type("GREET")
async def greet(payload: dict[str, str], context: jobledger.Context) -> str:
    return "Hello, " + payload["name"]

def from_settings(settings):
    @jobledger.job_type(settings["GREETING"])
    async def greet(payload, context):
        return settings["GREETING"]
    return greet

async def undecorated(payload):
    pass

def broken(settings):
    return settings["MISSING"]

def blocks(payload, context):
    pass

not_async = jobledger.JobType(name="BLOCKS", run=blocks, runs_in="loop")
spaced = jobledger.JobType(name="TWO WORDS", run=blocks)
number = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.syspath_prepend(tmp_path)

    def install(package: str, **job_types: str) -> None:
        module = f"module_of_{package}"
        names = {name.replace("_SPACE_", " "): f"{module}:{attribute}" for name, attribute in job_types.items()}
        install_job_types(tmp_path, package=package, modules={module: MODULE}, job_types=names)

    return install


def test_the_types_of_this_package_and_of_others_are_found_alike(install: Callable[..., None]) -> None:
    install("greetings", GREET="greet")

    found = load_job_types(SETTINGS)

    assert set(found) == {"CSV_EXPORT", "EMAIL_SEND", "GREET"}
    assert found["CSV_EXPORT"].runs_in == "thread"


def test_a_function_of_the_settings_makes_a_type(install: Callable[..., None]) -> None:
    install("configured", Hello="from_settings")

    assert load_job_type("Hello", SETTINGS).name == "Hello"


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("OTHER", "greet", "another name, 'GREET'"),
        ("X", "undecorated", "a coroutine, not a JobType: decorate"),
        ("X", "number", "a int, not a JobType"),
        ("X", "missing", "cannot be loaded: .*AttributeError"),
        ("X", "broken", "cannot be loaded: .*KeyError: 'MISSING'"),
        ("BLOCKS", "not_async", "cannot be used: .*not async"),
        ("TWO_SPACE_WORDS", "spaced", "1 to 64 letters"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_distribution(
    install: Callable[..., None], name: str, attribute: str, reason: str
) -> None:
    install("foreign", **{name: attribute})
    name = name.replace("_SPACE_", " ")

    with pytest.raises(UnusableJobType, match=f"{name} = module_of_foreign:{attribute} of foreign 1.0.*{reason}"):
        load_job_type(name, SETTINGS)


def test_a_module_that_ends_the_program_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install_job_types(
        tmp_path, package="quits", modules={"quits": "import sys; sys.exit(0)"}, job_types={"QUITS": "quits:job_type"}
    )

    with pytest.raises(UnusableJobType, match=r"QUITS = quits:job_type of quits 1.0 cannot be loaded: .*SystemExit: 0"):
        load_job_type("QUITS", SETTINGS)


def test_two_packages_with_one_name_are_both_named(install: Callable[..., None]) -> None:
    install("first", GREET="greet")
    install("second", GREET="greet")

    with pytest.raises(
        UnusableJobType, match=r"GREET is there twice: .*of (first|second) 1.0 and .*of (first|second) 1.0"
    ):
        load_job_types(SETTINGS)


def test_an_unknown_type_is_said_with_what_is_known() -> None:
    with pytest.raises(UnknownJobType, match="'NOPE': known are CSV_EXPORT, EMAIL_SEND"):
        load_job_type("NOPE", SETTINGS)
