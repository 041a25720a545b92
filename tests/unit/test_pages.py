"""The judge of the pages notices what is wrong with an answer, and forgives what differs each time."""

from __future__ import annotations

import pytest

from tests.system.pages import Block, Step, agree, only_asks, steps_of

JOB = "019bfe3a-ce60-74b9-a5cc-9beb58d0490c"


def shown(text: str, marker: str = "") -> Block:
    return Block(marker, "text", text)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            f"job {JOB} at 2026-01-27T10:30:00.000Z",
            "job 019bfe3b-0000-7000-8000-000000000000 at 2026-11-24T07:06:58.4Z",
        ),
        ("vm-8372-ebe2ea   Started", "host-1-abcdef Started"),
        ("/tmp/here/output/x.csv", "/srv/jobledger/output/x.csv"),
        ("one two three", "one … three"),
        ("first\nsecond\nthird\nlast\n", "first\n…\nlast"),
        ("first\nlast\n", "first\n…\nlast"),
        ("first   \n", "first"),
    ],
)
def test_what_differs_each_time_is_forgiven(said: str, text: str) -> None:
    assert agree(said, shown(text))


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("status: failed", "status: completed"),
        ("3 jobs", "2 jobs"),
        ("first\nsecond", "first"),
        ("first", "first\nsecond"),
        ("first\nlast and more", "first\n…\nlast"),
        ("", "something"),
        ("a.b", "a+b"),
    ],
)
def test_what_is_wrong_is_noticed(said: str, text: str) -> None:
    assert not agree(said, shown(text))


def test_numbers_may_be_left_out_but_not_what_stands_around_them() -> None:
    assert agree("12 jobs in 0.4 s (1,204 jobs/s)", shown("9 jobs in 1.5 s (80 jobs/s)"), numbers_too=False)
    assert not agree("12 jobs", shown("12 events"), numbers_too=False)
    assert not agree("attempt2", shown("attempt3"), numbers_too=False)


def test_the_steps_of_a_page_are_its_commands_with_their_answers() -> None:
    page = "\n".join(
        [
            "```sh",
            "one",
            "```",
            "",
            "```text",
            "says one",
            "```",
            "```sh",
            "two",
            "```",
            "<!-- once -->",
            "```sh",
            "three",
            "```",
        ]
    )
    assert steps_of(page) == [
        Step("one", "", Block("", "text", "says one\n")),
        Step("two", "", None),
        Step("three", "once", None),
    ]
    assert [only_asks(step) for step in steps_of(page)] == [True, True, False]
