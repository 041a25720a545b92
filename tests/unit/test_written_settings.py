"""What is written about the settings, in .env.example and the README, is what the code reads: the same names and defaults."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from dotenv import dotenv_values

from entrypoints.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"

_ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? *\| (.+) \|$", re.MULTILINE)


def names() -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(Settings)]


def readme_rows() -> dict[str, tuple[str, str]]:
    section = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    return {name: (default, meaning) for name, default, meaning in _ROW.findall(section)}


def test_the_example_names_each_setting_once_and_in_order() -> None:
    written = re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert written == names()


def test_the_example_gives_the_defaults() -> None:
    assert read_settings({}, dotenv=EXAMPLE) == Settings()


def test_the_readme_names_each_setting_in_order_with_a_meaning() -> None:
    rows = readme_rows()
    assert list(rows) == names()
    assert all(meaning.strip() for _default, meaning in rows.values())


@pytest.mark.parametrize("name", names())
def test_the_readme_and_the_example_give_the_same_default(name: str) -> None:
    default, _meaning = readme_rows()[name]
    assert default == dotenv_values(EXAMPLE)[name]
    assert getattr(read_settings({name: default}, dotenv=None), name.lower()) == getattr(Settings(), name.lower())
