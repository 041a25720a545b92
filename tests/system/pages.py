"""Pages whose commands are run: what stands on them, and whether an answer is the one that is shown.

A block of `sh` is typed into one shell, from the top of the page to its bottom; the block after it, if that is of another
language, shows the answer. In what is shown, `…` stands for anything within a line, and alone on a line for any number of lines.
What differs each time is left out of the comparison. A comment before a block says what is special about it:

    <!-- once -->    may not be repeated until its answer is the one that is shown (what posts a job never is)
    <!-- timing -->  when the reader looks is up to the machine: only the shape of the lines is compared
    <!-- figures --> what its numbers say is up to the machine: they are not compared
    <!-- story -->   how often something happened is up to the machine: repeated lines count once
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"(?:^<!-- ([\w ]+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is different each time, and what stands for it in the comparison.
_ALWAYS = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d\.\d{3}"), "<time>"),
    (re.compile(r"\b[\w.]+-\d+-[0-9a-f]{6}\b"), "<process>"),
    (re.compile(r"(/[^\s\"']+)+/output\b"), "<output>"),
    (re.compile(r"(?<=\"position\": )\d+|(?<=date: ).*|(?<=content-length: )\d+|(?<=\"lagSeconds\":)[\d.]+"), "<…>"),
    (re.compile(r"(?<=sha256:)[0-9a-f]{64}"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{32}(-[0-9a-f]{16}-00)?\b"), "<trace>"),
    (re.compile(r" +"), " "),  # columns are as wide as what stands in them
]
_NUMBERS = [(re.compile(r"(?<![\w<])\d[\d,]*(\.\d+)?"), "<n>")]


class Block(NamedTuple):
    marker: str
    language: str
    text: str


class Step(NamedTuple):
    """A block of commands, and the block that shows their answer (None: nothing is shown)."""

    commands: str
    marker: str
    answer: Block | None


def steps_of(page: str) -> list[Step]:
    """What there is to do on a page, in order. The answer may stand elsewhere, under the same marker."""
    blocks = [Block(*found) for found in _BLOCK.findall(page)]
    by_marker = {block.marker: block for block in blocks if block.marker and block.language != "sh"}
    found = []
    for number, block in enumerate(blocks):
        if block.language == "sh":
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            shown = following if following is not None and following.language != "sh" else by_marker.get(block.marker)
            found.append(Step(block.text.strip(), block.marker, shown))
    return found


def agree(said: str, shown: Block, *, numbers_too: bool = True) -> bool:
    """Whether an answer is the one that is shown. `numbers_too`: also in what its numbers say."""
    masks = _ALWAYS if numbers_too and shown.marker != "figures" else _ALWAYS + _NUMBERS
    ours, theirs = _lines(said, masks), _lines(shown.text, masks)
    if shown.marker == "timing":
        return {re.sub(r":\w+", ":<…>", line) for line in ours} == {re.sub(r":\w+", ":<…>", line) for line in theirs}
    if shown.marker == "story":
        ours, theirs = list(dict.fromkeys(ours)), list(dict.fromkeys(theirs))
    patterns = ["(.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in theirs]
    return re.fullmatch("".join(patterns), "".join(f"{line}\n" for line in ours)) is not None


def only_asks(step: Step) -> bool:
    """Whether its commands may be given twice: they create nothing."""
    return " -d '" not in step.commands and step.marker != "once"


def _lines(text: str, masks: Iterable[tuple[re.Pattern[str], str]]) -> list[str]:
    for pattern, name in masks:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.strip().splitlines()]
