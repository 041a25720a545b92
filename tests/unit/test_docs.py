"""What the pages point at is there: links, headings, files; and the state diagram is that of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from entrypoints.cli import whole_app
from tests.state_diagram import state_diagram, written_diagram

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(
    r"`((?:domain|commands|projections|adapters|entrypoints|sql|jobledger|tests|docs)/[\w./-]*)`|`([\w-]+\.(?:md|toml|lock))`"
)
_COMMAND = re.compile(r"`jobledger ([^`]+)`")
_STANDS_FOR = {
    "ID": "019bfe3a-ce60-74b9-a5cc-9beb58d0490c",
    "T": "2026-01-27T10:30:00Z",
    "A": "2026-01-27T10:30:00Z",
    "B": "4711",
    "N": "4711",
    "PROCESS": "worker",
}
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = [path or name for path, name in _FILE.findall(prose(page))]
    assert [path for path in named if not (ROOT / path).exists() and not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_named_is_one_of_the_command_line(page: Path) -> None:
    for words in _COMMAND.findall(prose(page)):
        filled = [_STANDS_FOR.get(word, word) for word in shlex.split(words)]
        if len(filled) == 1:
            assert filled[0] in set(whole_app())
        elif "--help" not in filled:
            whole_app().parse_args(filled)  # raises for a command or an option that there is none of


def test_every_page_is_linked_from_the_readme_or_a_page_beside_it() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _LINK.findall(prose(page))}
    assert [page for page in PAGES if page.name != "README.md" and page not in linked] == []


def test_the_state_diagram_is_that_of_the_code() -> None:
    assert written_diagram() == state_diagram(), "make it anew: python -m tests.state_diagram"
