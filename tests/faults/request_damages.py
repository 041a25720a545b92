"""Damage to a good run, as in run_damages.py: to batches, waits, cancels and retries, and to what followers were shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from tests.faults.client_log import CommandAnswered, CommandAsked, Followed, FollowedUp, Got, Posted, Seen, StreamOpened
from tests.faults.run_damages import NOBODY, Harm
from tests.faults.stories import Story

# Batches


def _of_batches(harm: Harm) -> list[Posted]:
    """The only answers to jobs that were asked for in batches, all of the same type and priority."""
    found = []
    for posts in harm.posts.values():
        asked = harm.asks[posts[0].key]
        if [post.answer for post in posts] == ["ok"] and posts[0].batch and asked.type == "TALLIED":
            found.append(posts[0])
    return found


def _two_answers_of_a_batch_in_each_others_place(harm: Harm) -> None:
    one = _of_batches(harm)[0]
    kind = harm.asks[one.key].priority
    other = next(post for post in _of_batches(harm) if post is not one and harm.asks[post.key].priority == kind)
    harm.change(one, job=other.job)
    harm.change(other, job=one.job)


def _an_item_of_a_batch_that_is_gone(harm: Harm) -> None:
    one = _of_batches(harm)[0]
    harm.run.lines += [replace(harm.asks[one.key], key="gone", payload="00" * 32), replace(one, key="gone", job=NOBODY)]


def _an_item_of_a_batch_refused_and_there(harm: Harm) -> None:
    harm.change(_of_batches(harm)[0], answer="refused", status=400, job="")


# Waits


def _without_looks(harm: Harm, story: Story) -> None:
    """Nobody was shown this job."""
    harm.run.lines = [
        line for line in harm.run.lines if not (isinstance(line, Got | CommandAnswered) and line.job == story.job_id)
    ]


def _a_wait_told_of_an_end_that_was_none(harm: Harm) -> None:
    story = harm.acked(lambda story: len(story.states) == 3 and story.is_completed)
    _without_looks(harm, story)
    harm.look(story.job_id, waited=2, version=2, state="completed")


def _a_wait_in_vain_told_what_was_old(harm: Harm) -> None:
    """When its time was up, another had long been told of the end."""
    story = harm.acked(lambda story: len(story.states) == 3 and story.is_completed)
    _without_looks(harm, story)
    begin = harm.last_moment() + 1
    harm.look(story.job_id, at=begin, waited=9, ended=begin + 9.1, version=2, state="processing")
    harm.look(story.job_id, at=begin + 1, version=3, state="completed")


def _a_wait_that_was_refused_after_201(harm: Harm) -> None:
    post = harm.posts[harm.key_of[harm.acked().job_id]][0]
    harm.look(post.job, waited=2, answer="refused", status=404)


# Cancels and retries


def _command(harm: Harm, command: str, fits: Callable[[CommandAnswered], bool]) -> tuple[CommandAsked, CommandAnswered]:
    """The first that fits: what was asked, and the answer."""
    asked = {line.reason: line for line in harm.run.lines if isinstance(line, CommandAsked) and line.command == command}
    answered = next(
        line for line in harm.run.lines if isinstance(line, CommandAnswered) and line.reason in asked and fits(line)
    )
    return asked[answered.reason], answered


def _is_ok(answered: CommandAnswered) -> bool:
    return answered.answer == "ok"


def _answered_and_not_done(command: Literal["cancel", "retry"]) -> Callable[[Harm], None]:
    def harm_it(harm: Harm) -> None:
        _, answered = _command(harm, command, _is_ok)
        story = harm.stories[answered.job]
        _without_looks(harm, story)
        harm.run.lines.append(replace(answered, reason="vanished"))
        harm.run.lines.insert(0, CommandAsked("vanished", command, answered.job, 0))
        harm.run.lines.append(answered)

    return harm_it


def _refused_and_done(command: str) -> Callable[[Harm], None]:
    def harm_it(harm: Harm) -> None:
        _, answered = _command(harm, command, _is_ok)
        harm.change(answered, answer="refused", status=409, version=0, state="")

    return harm_it


def _done_for_nobody(harm: Harm) -> None:
    asked, answered = _command(harm, "retry", _is_ok)
    harm.run.lines = [line for line in harm.run.lines if line is not asked and line is not answered]


def _done_to_another_job(harm: Harm) -> None:
    asked, _ = _command(harm, "cancel", _is_ok)
    harm.change(asked, job=NOBODY)


def _retried_in_place_of_cancelled(harm: Harm) -> None:
    asked, _ = _command(harm, "retry", _is_ok)
    harm.change(asked, command="cancel")


def _done_twice(harm: Harm) -> None:
    """A waiting job was woken for the reason for which it is retried."""
    story = harm.story(
        lambda story: {_tells(story, n) for n, event in _numbered(story) if event == "Queued"} == {True, False}
    )
    version, reason = next((n, reason) for n, reason in story.reasons if story.events[n - 1][1] == "Queued")
    woken = next(n for n, event in _numbered(story) if event == "Queued" and not _tells(story, n))
    later, earlier = max(version, woken), min(version, woken)
    _forget_answer(harm, reason)
    others = [one for one in story.reasons if one[0] != version]
    harm.stories[story.job_id] = replace(story, reasons=[*others, (earlier, reason), (later, reason)])


def _answered_with_another_version(harm: Harm) -> None:
    _, answered = _command(harm, "retry", _is_ok)
    story = harm.stories[answered.job]
    _without_looks(harm, story)
    version = answered.version - 1
    harm.run.lines.append(replace(answered, version=version, state=story.states[version - 1]))


def _an_end_that_goes_on_before_it_is_retried(harm: Harm) -> None:
    """It was shown as failed, and afterwards as under way, at a version before that."""
    _, answered = _command(harm, "retry", _is_ok)
    story = harm.stories[answered.job]
    _without_looks(harm, story)
    end = answered.version - 1
    harm.look(story.job_id, version=end, state=story.states[end - 1])
    harm.look(story.job_id, version=end - 1, state=story.states[end - 2])


def _numbered(story: Story) -> list[tuple[int, str]]:
    return [(version, event) for version, (_, event) in enumerate(story.events, start=1)]


def _tells(story: Story, version: int) -> bool:
    return any(told == version for told, _ in story.reasons)


def _forget_answer(harm: Harm, reason: str) -> None:
    harm.run.lines = [
        line for line in harm.run.lines if not (isinstance(line, CommandAnswered) and line.reason == reason)
    ]


# Streams


def _pages(harm: Harm, name: str = "all", *, at_least: int = 1) -> list[Followed]:
    return [
        line
        for line in harm.run.lines
        if isinstance(line, Followed) and line.follower == name and len(line.events) >= at_least
    ]


def _not_shown(harm: Harm) -> None:
    page = _pages(harm, at_least=3)[1]
    harm.change(page, events=[*page.events[:1], *page.events[2:]])


def _not_shown_at_a_new_stream(harm: Harm) -> None:
    """The first page after a stream was cut off is missing."""
    lines = harm.run.lines
    opened = [n for n, line in enumerate(lines) if isinstance(line, StreamOpened) and line.follower == "some"][1]
    del lines[next(n for n, line in enumerate(lines) if n > opened and isinstance(line, Followed))]


def _the_last_page_is_missing(harm: Harm) -> None:
    ended = next(line for line in harm.run.lines if isinstance(line, FollowedUp))
    harm.run.lines.remove(_pages(harm, ended.follower)[-1])


def _shown_twice(harm: Harm) -> None:
    page = _pages(harm, at_least=3)[1]
    harm.change(page, events=[*page.events, page.events[-1]])


def _a_page_shown_twice(harm: Harm) -> None:
    page = _pages(harm, "some")[1]
    harm.run.lines.insert(harm.run.lines.index(page) + 1, replace(page))


def _shown_out_of_order(harm: Harm) -> None:
    page = _pages(harm, at_least=3)[1]
    harm.change(page, events=[page.events[1], page.events[0], *page.events[2:]])


def _shown_otherwise(**changes: object) -> Callable[[Harm], None]:
    def harm_it(harm: Harm) -> None:
        page = _pages(harm, at_least=3)[1]
        harm.change(page, events=[replace(page.events[0], **changes), *page.events[1:]])

    return harm_it


def _shown_beyond_the_log(harm: Harm) -> None:
    page = _pages(harm)[-1]
    harm.change(page, events=[*page.events, Seen(page.events[-1].position + 10_000, NOBODY, 1, "Created")])


def _shown_though_not_wanted(harm: Harm) -> None:
    page = _pages(harm, "some", at_least=1)[-1]
    harm.change(page, events=[*page.events, Seen(page.events[-1].position + 1, NOBODY, 1, "Created")])


def _refused_to_go_on(harm: Harm) -> None:
    opened = next(line for line in harm.run.lines if isinstance(line, StreamOpened))
    harm.run.lines.append(replace(opened, status=404, after=7))


# The check that is meant for it, what was done, and who does it.
REQUEST_DAMAGES: list[tuple[str, str, Callable[[Harm], None]]] = [
    ("C4", "two answers of a batch in each other's place", _two_answers_of_a_batch_in_each_others_place),
    ("C1", "a job of a batch that was answered with 201 and is gone", _an_item_of_a_batch_that_is_gone),
    ("C2", "a job of a batch that was refused and is there", _an_item_of_a_batch_refused_and_there),
    ("C5", "a wait that told of an end that was none", _a_wait_told_of_an_end_that_was_none),
    ("C5", "a wait in vain that told what was old when its time was up", _a_wait_in_vain_told_what_was_old),
    ("C5", "a wait that was answered 404 after 201", _a_wait_that_was_refused_after_201),
    ("C5", "an end before which it goes on", _an_end_that_goes_on_before_it_is_retried),
    ("C6", "a cancel that was answered with 200 and not done", _answered_and_not_done("cancel")),
    ("C6", "a retry that was answered with 200 and not done", _answered_and_not_done("retry")),
    ("C6", "a cancel that was refused and done", _refused_and_done("cancel")),
    ("C6", "a retry that was refused and done", _refused_and_done("retry")),
    ("C6", "a retry that nobody asked for", _done_for_nobody),
    ("C6", "a cancel of another job", _done_to_another_job),
    ("C6", "a retry where a cancel was asked for", _retried_in_place_of_cancelled),
    ("C6", "a retry that was done twice", _done_twice),
    ("C6", "a retry that was answered with another version", _answered_with_another_version),
    ("C7", "an event that was not shown", _not_shown),
    ("C7", "a page that was lost when a stream was cut off", _not_shown_at_a_new_stream),
    ("C7", "a last page that was never shown", _the_last_page_is_missing),
    ("C7", "an event that was shown twice", _shown_twice),
    ("C7", "a page that was shown twice", _a_page_shown_twice),
    ("C7", "two events that were shown in the wrong order", _shown_out_of_order),
    ("C7", "an event of another job", _shown_otherwise(job=NOBODY)),
    ("C7", "an event of another type", _shown_otherwise(type="Released")),
    ("C7", "an event with another version", _shown_otherwise(version=99)),
    ("C7", "an event that the log does not have", _shown_beyond_the_log),
    ("C7", "an event that was not wanted", _shown_though_not_wanted),
    ("C7", "a follower who was refused", _refused_to_go_on),
]
