"""Damage to a good run, of every kind that a check is meant for: done to what clients wrote down and to what jobs left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tests.faults.client_log import Asked, Got, Posted
from tests.faults.effects import Fact
from tests.faults.good_runs import GoodRun
from tests.faults.mail_server import MailTaken
from tests.faults.stories import Attempt, Story

NOBODY = "0190f5fe-ffff-7fff-8fff-ffffffffffff"  # the id of no job
T = TypeVar("T")
S = TypeVar("S", bound=Struct)


class Harm:
    """A copy of a good run to be damaged, with what it takes to find the place for it."""

    def __init__(self, good: GoodRun, stories: Iterable[Story]) -> None:
        self.run = good.copy()
        self.stories = {story.job_id: story for story in stories}
        self.asks = {line.key: line for line in good.lines if isinstance(line, Asked)}
        self.posts: dict[str, list[Posted]] = {}
        for line in good.lines:
            if isinstance(line, Posted):
                self.posts.setdefault(line.key, []).append(line)
        self.key_of = {job_id: key for key, job_id in good.keys.items()}

    # Finding

    def story(self, fits: Callable[[Story], bool]) -> Story:
        """The first job that fits."""
        return next(story for story in self.stories.values() if fits(story))

    def acked(self, fits: Callable[[Story], bool] = lambda story: True) -> Story:
        """The first that fits and whose client had one request for it, which was answered with 201."""
        return self.story(lambda story: [post.answer for post in self._posts_of(story)] == ["ok"] and fits(story))

    def looked_at(self, fits: Callable[[Got], bool] = lambda look: True) -> Got:
        """The last look that fits and was answered."""
        return next(
            line for line in reversed(self.run.lines) if isinstance(line, Got) and line.answer == "ok" and fits(line)
        )

    def asked(self, story: Story) -> Asked:
        """What was asked for by whoever asked for it."""
        return self.asks[self.key_of[story.job_id]]

    def mails_of(self, story: Story) -> list[MailTaken]:
        return [mail for mail in self.run.mails if story.job_id in mail.message_id]

    def facts_of(self, story: Story) -> list[Fact]:
        return [fact for fact in self.run.facts if fact.job == story.job_id]

    def last_moment(self) -> float:
        """When everything was over."""
        return max(line.ended for line in self.run.lines if isinstance(line, Posted | Got))

    # Damaging

    def change(self, thing: Struct, **changes: object) -> None:
        """Put another thing in its place, wherever it is."""
        run = self.run
        run.lines = [replace(one, **changes) if one is thing else one for one in run.lines]
        run.mails = [replace(one, **changes) if one is thing else one for one in run.mails]
        run.facts = [replace(one, **changes) if one is thing else one for one in run.facts]

    def forget(self, story: Story) -> None:
        """The client never wrote down that it asked for this."""
        key = self.key_of[story.job_id]
        self.run.lines = [line for line in self.run.lines if not (isinstance(line, Asked | Posted) and line.key == key)]

    def look(self, job_id: str, *, at: float | None = None, **seen: object) -> None:
        """One more look of a client of its own, at the end of everything if nothing else is said."""
        began = self.last_moment() + 1 if at is None else at
        look = Got(job_id, 99, "http://127.0.0.1:3000", began, began + 0.001, "ok", 200)
        self.run.lines.append(replace(look, **seen))

    def _posts_of(self, story: Story) -> list[Posted]:
        return self.posts.get(self.key_of[story.job_id], [])


def _last(story: Story) -> Attempt:
    return story.attempts[-1]


def _simple(kind: str) -> Callable[[Story], bool]:
    return lambda story: story.type == kind and story.is_completed and len(story.attempts) == 1


def _without_trace(kind: str) -> Callable[[Story], bool]:
    """Of that type, not completed, and nobody may say that it did anything."""
    return lambda story: (
        story.type == kind
        and not story.is_completed
        and len(story.attempts) > 0
        and not any(attempt.may_have_left_effects for attempt in story.attempts)
    )


def _twice_tallied(story: Story) -> bool:
    return (
        story.type.startswith("TALLIED")
        and story.is_completed
        and [attempt.outcome for attempt in story.attempts] == ["error", ""]
    )


def _doubtful(story: Story) -> bool:
    return story.type == "EMAIL_SEND" and story.is_completed and any(one.in_doubt for one in story.attempts)


# C1 to C5


def _answered_and_gone(harm: Harm) -> None:
    harm.run.lines.append(Asked("gone", 0, "TALLIED", "default", "00" * 32))
    harm.run.lines.append(Posted("gone", 0, "http://127.0.0.1:3000", 1.0, 2.0, "ok", 201, NOBODY))


def _answered_and_gone_at_a_repetition(harm: Harm) -> None:
    harm.run.lines.append(Asked("gone", 0, "TALLIED", "default", "00" * 32))
    harm.run.lines.append(Posted("gone", 0, "http://127.0.0.1:3000", 1.0, 2.0, "unknown"))
    harm.run.lines.append(Posted("gone", 0, "http://127.0.0.1:3001", 3.0, 4.0, "ok", 201, NOBODY, replayed=True))


def _asked_for_by_nobody(harm: Harm) -> None:
    harm.forget(harm.acked())


def _refused_and_there(harm: Harm) -> None:
    [post] = harm.posts[harm.key_of[harm.acked().job_id]]
    harm.change(post, answer="refused", status=400, job="")


def _refused_twice_and_there(harm: Harm) -> None:
    _refused_and_there(harm)
    [post] = [line for line in harm.run.lines if isinstance(line, Posted) and line.status == 400][-1:]
    harm.run.lines.append(replace(post, status=422))


def _answered_with_two_jobs(harm: Harm) -> None:
    one, other = harm.acked(), harm.acked(lambda story: story is not harm.acked())
    harm.forget(other)
    [post] = harm.posts[harm.key_of[one.job_id]]
    harm.run.lines.append(replace(post, job=other.job_id))


def _two_jobs_for_a_key(harm: Harm) -> None:
    """What had an answer is said to have been asked for by the one that had none."""
    one = harm.acked()
    other = harm.story(lambda story: not any(post.answer == "ok" for post in harm._posts_of(story)))
    key = harm.key_of[other.job_id]
    asked = harm.asked(one)
    [post] = harm.posts[asked.key]
    harm.forget(one)
    harm.change(
        harm.asked(other), **{name: getattr(asked, name) for name in ("type", "priority", "payload", "file", "mail")}
    )
    harm.run.lines.append(replace(post, key=key))


def _another_payload(harm: Harm) -> None:
    harm.change(harm.asked(harm.acked()), payload="00" * 32)


def _another_priority(harm: Harm) -> None:
    harm.change(harm.asked(harm.acked(lambda story: story.priority == "high")), priority="default")


def _another_type(harm: Harm) -> None:
    harm.change(harm.asked(harm.acked(_simple("TALLIED"))), type="TALLIED_SLOW")


def _a_version_that_falls(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.state == "completed")
    story = harm.stories[look.job]
    place = harm.run.lines.index(look)
    later = replace(look, began=look.ended + 1, ended=look.ended + 2, version=look.version - 1)
    harm.run.lines.insert(place, replace(later, state=story.states[later.version - 1]))
    harm.run.lines = [line for line in harm.run.lines if not (isinstance(line, Got) and line.job == look.job)]
    earlier = replace(look, version=2, state=story.states[1])
    harm.run.lines += [earlier, replace(later, version=1, state=story.states[0])]


def _a_version_that_falls_for_another_client(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.version >= 3)
    harm.run.lines = [line for line in harm.run.lines if not (isinstance(line, Got) and line.job == look.job)]
    states = harm.stories[look.job].states
    harm.look(look.job, version=2, state=states[1])
    harm.look(look.job, version=1, state=states[0])


def _not_there_after_201(harm: Harm) -> None:
    post = harm.posts[harm.key_of[harm.acked().job_id]][0]
    harm.run.lines = [line for line in harm.run.lines if not (isinstance(line, Got) and line.job == post.job)]
    harm.look(post.job, at=post.ended, answer="refused", status=404)


def _not_there_after_it_was_seen(harm: Harm) -> None:
    harm.look(harm.looked_at().job, answer="refused", status=404)


def _an_end_that_ends_otherwise(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.state == "completed")
    harm.look(look.job, version=look.version, state="failed")


def _an_end_that_goes_on(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.state == "failed")
    harm.look(look.job, version=look.version + 1, state="pending")


def _a_version_beyond_the_log(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.state == "completed")
    harm.look(look.job, version=look.version + 1, state="completed")


def _a_version_that_is_another(harm: Harm) -> None:
    look = harm.looked_at(lambda look: look.state == "completed")
    harm.run.lines = [line for line in harm.run.lines if not (isinstance(line, Got) and line.job == look.job)]
    harm.look(look.job, version=1, state="processing")


# E1


def _no_file(harm: Harm) -> None:
    del harm.run.files[f"{harm.acked(_simple('CSV_EXPORT')).job_id}.csv"]


def _a_torn_file(harm: Harm) -> None:
    name = f"{harm.acked(_simple('CSV_EXPORT')).job_id}.csv"
    harm.run.files[name] = harm.run.files[name][:-3]


def _an_empty_file(harm: Harm) -> None:
    harm.run.files[f"{harm.acked(_simple('CSV_EXPORT')).job_id}.csv"] = b""


def _an_altered_file(harm: Harm) -> None:
    name = f"{harm.acked(_simple('CSV_EXPORT')).job_id}.csv"
    harm.run.files[name] = harm.run.files[name].replace(b"i", b"j", 1)


def _a_file_that_was_not_asked_for(harm: Harm) -> None:
    asked = harm.asked(harm.acked(_simple("CSV_EXPORT")))
    assert asked.file is not None
    harm.change(asked, file=replace(asked.file, sha256="00" * 32))


def _rows_that_were_not_asked_for(harm: Harm) -> None:
    asked = harm.asked(harm.acked(_simple("CSV_EXPORT")))
    assert asked.file is not None
    harm.change(asked, file=replace(asked.file, rows=asked.file.rows + 1))


def _a_file_of_a_failed_job(harm: Harm) -> None:
    harm.run.files[f"{harm.story(_without_trace('CSV_EXPORT')).job_id}.csv"] = b"id\r\n1\r\n"


def _a_file_of_a_job_that_never_ran(harm: Harm) -> None:
    story = harm.story(lambda story: story.type == "CSV_EXPORT" and not story.attempts)
    harm.run.files[f"{story.job_id}.csv"] = b"id\r\n1\r\n"


def _a_file_of_another_type(harm: Harm) -> None:
    harm.run.files[f"{harm.acked(_simple('TALLIED')).job_id}.csv"] = b"id\r\n1\r\n"


def _a_file_of_no_job(harm: Harm) -> None:
    harm.run.files[f"{NOBODY}.csv"] = b"id\r\n1\r\n"


def _a_torn_file_of_a_lost_attempt(harm: Harm) -> None:
    story = harm.story(
        lambda story: story.type == "CSV_EXPORT" and not story.is_completed and f"{story.job_id}.csv" in harm.run.files
    )
    name = f"{story.job_id}.csv"
    harm.run.files[name] = harm.run.files[name][:-3]


def _a_temporary_file_of_a_completed_attempt(harm: Harm) -> None:
    job_id = harm.acked(_simple("CSV_EXPORT")).job_id
    harm.run.temporaries[f".jobledger-{job_id}-1-0123456789abcdef.tmp"] = b"id"


def _a_temporary_file_of_an_attempt_in_error(harm: Harm) -> None:
    story = harm.story(
        lambda story: story.type == "CSV_EXPORT" and [a.outcome for a in story.attempts[:1]] == ["error"]
    )
    harm.run.temporaries[f".jobledger-{story.job_id}-1-0123456789abcdef.tmp"] = b"id"


def _a_temporary_file_of_no_job(harm: Harm) -> None:
    harm.run.temporaries[f".jobledger-{NOBODY}-1-0123456789abcdef.tmp"] = b"id"


# E2


def _no_mail(harm: Harm) -> None:
    [mail] = harm.mails_of(harm.acked(_simple("EMAIL_SEND")))
    harm.run.mails.remove(mail)


def _a_second_mail(harm: Harm) -> None:
    harm.run.mails += harm.mails_of(harm.acked(_simple("EMAIL_SEND")))


def _more_mails_than_doubts(harm: Harm) -> None:
    harm.run.mails += harm.mails_of(harm.story(_doubtful)) * 4


def _a_mail_of_a_failed_job(harm: Harm) -> None:
    story = harm.story(_without_trace("EMAIL_SEND"))
    asked = harm.asked(story).mail
    assert asked is not None
    harm.run.mails.append(MailTaken(f"<{story.job_id}@localhost>", asked.to, "x", asked.digest, 1.0))


def _a_mail_of_a_job_that_never_ran(harm: Harm) -> None:
    story = harm.story(lambda story: story.type == "EMAIL_SEND" and not story.attempts)
    asked = harm.asked(story).mail
    assert asked is not None
    harm.run.mails.append(MailTaken(f"<{story.job_id}@localhost>", asked.to, "x", asked.digest, 1.0))


def _copies_that_differ(**changes: object) -> Callable[[Harm], None]:
    def harm_it(harm: Harm) -> None:
        story = harm.story(lambda story: _doubtful(story) and len(harm.mails_of(story)) > 1)
        mail = harm.mails_of(story)[-1]
        # Each copy is a thing of its own, even where it equals the others.
        copy = replace(mail)
        harm.run.mails[max(i for i, found in enumerate(harm.run.mails) if found is mail)] = copy
        harm.change(copy, **{name: change(mail) if callable(change) else change for name, change in changes.items()})

    return harm_it


def _another_mail(**changes: object) -> Callable[[Harm], None]:
    def harm_it(harm: Harm) -> None:
        [mail] = harm.mails_of(harm.acked(_simple("EMAIL_SEND")))
        harm.change(mail, **{name: change(mail) if callable(change) else change for name, change in changes.items()})

    return harm_it


def _a_mail_of_no_job(harm: Harm) -> None:
    harm.run.mails.append(replace(harm.run.mails[0], message_id=f"<{NOBODY}@localhost>"))


def _a_mail_without_an_id(harm: Harm) -> None:
    harm.run.mails.append(replace(harm.run.mails[0], message_id=""))


def _a_mail_of_another_type(harm: Harm) -> None:
    job_id = harm.acked(_simple("CSV_EXPORT")).job_id
    harm.run.mails.append(replace(harm.run.mails[0], message_id=f"<{job_id}@localhost>"))


# E3


def _an_overlap(harm: Harm) -> None:
    facts = harm.facts_of(harm.story(_twice_tallied))
    [second] = [fact for fact in facts if fact.what == "begin" and fact.attempt == 2]
    [first_end] = [fact for fact in facts if fact.what == "error"]
    harm.change(first_end, at=second.at + 0.001)


def _an_overlap_that_the_lock_saw(harm: Harm) -> None:
    facts = harm.facts_of(harm.story(_twice_tallied))
    [second] = [fact for fact in facts if fact.what == "begin" and fact.attempt == 2]
    harm.change(second, alone=False)


def _an_overlap_with_one_that_never_ended(harm: Harm) -> None:
    _an_overlap_that_the_lock_saw(harm)
    [first_end] = [fact for fact in harm.facts_of(harm.story(_twice_tallied)) if fact.what == "error"]
    harm.run.facts.remove(first_end)


def _an_overlap_though_another_was_given_up(harm: Harm) -> None:
    """Attempt 1 was given up, which excuses it alone: attempts 2 and 3 may not overlap."""
    story = harm.story(
        lambda story: (
            story.type.startswith("TALLIED")
            and [one.outcome for one in story.attempts][:2] == ["lost", "error"]
            and len(story.attempts) == 3
            and any(fact.attempt == 3 for fact in harm.facts_of(story))
        )
    )
    facts = harm.facts_of(story)
    [third] = [fact for fact in facts if fact.what == "begin" and fact.attempt == 3]
    second_end = next(fact for fact in facts if fact.what != "begin" and fact.attempt == 2)
    harm.change(second_end, at=third.at + 0.001)


def _executed_twice(harm: Harm) -> None:
    fact = harm.facts_of(harm.acked(_simple("TALLIED")))[0]
    harm.run.facts.append(replace(fact, at=fact.at + 1000, pid=7))


def _executed_without_a_start(harm: Harm) -> None:
    fact = harm.facts_of(harm.acked(_simple("TALLIED")))[0]
    harm.run.facts.append(replace(fact, at=fact.at + 1000, attempt=2))


def _never_executed(harm: Harm) -> None:
    for fact in harm.facts_of(harm.acked(_simple("TALLIED"))):
        harm.run.facts.remove(fact)


def _completed_before_its_end(harm: Harm) -> None:
    [end] = [fact for fact in harm.facts_of(harm.acked(_simple("TALLIED"))) if fact.what == "end"]
    harm.run.facts.remove(end)


def _completed_though_it_failed(harm: Harm) -> None:
    [end] = [fact for fact in harm.facts_of(harm.acked(_simple("TALLIED"))) if fact.what == "end"]
    harm.change(end, what="error")


def _executed_for_no_job(harm: Harm) -> None:
    harm.run.facts.append(replace(harm.run.facts[0], job=NOBODY))


# The check that is meant for it, what was done, and who does it.
DAMAGES: list[tuple[str, str, Callable[[Harm], None]]] = [
    ("C1", "a job that was answered with 201 and is gone", _answered_and_gone),
    ("C1", "a job that was answered with 201 at the second request and is gone", _answered_and_gone_at_a_repetition),
    ("C2", "a job that nobody asked for", _asked_for_by_nobody),
    ("C2", "a job of a request that was refused", _refused_and_there),
    ("C2", "a job of two requests that were refused", _refused_twice_and_there),
    ("C3", "a key that was answered with two jobs", _answered_with_two_jobs),
    ("C3", "a key with a second job that no answer named", _two_jobs_for_a_key),
    ("C4", "another payload", _another_payload),
    ("C4", "another priority", _another_priority),
    ("C4", "another type", _another_type),
    ("C5", "a version that falls", _a_version_that_falls),
    ("C5", "a version that falls for another client", _a_version_that_falls_for_another_client),
    ("C5", "404 after 201", _not_there_after_201),
    ("C5", "404 after 200", _not_there_after_it_was_seen),
    ("C5", "an end that becomes another one", _an_end_that_ends_otherwise),
    ("C5", "an end after which it goes on", _an_end_that_goes_on),
    ("C5", "a version that the log does not have", _a_version_beyond_the_log),
    ("C5", "a status that its version did not have", _a_version_that_is_another),
    ("E1", "no file", _no_file),
    ("E1", "a torn file", _a_torn_file),
    ("E1", "an empty file", _an_empty_file),
    ("E1", "an altered file of the same length", _an_altered_file),
    ("E1", "a file with another content than was asked for", _a_file_that_was_not_asked_for),
    ("E1", "another number of rows than was asked for", _rows_that_were_not_asked_for),
    ("E1", "a file of a job that failed", _a_file_of_a_failed_job),
    ("E1", "a file of a job that never ran", _a_file_of_a_job_that_never_ran),
    ("E1", "a file of a job that is no export", _a_file_of_another_type),
    ("E1", "a file of no job", _a_file_of_no_job),
    ("E1", "a torn file of an attempt that was lost", _a_torn_file_of_a_lost_attempt),
    ("E1", "a temporary file of an attempt that was completed", _a_temporary_file_of_a_completed_attempt),
    ("E1", "a temporary file of an attempt that ended in an error", _a_temporary_file_of_an_attempt_in_error),
    ("E1", "a temporary file of no job", _a_temporary_file_of_no_job),
    ("E2", "no mail", _no_mail),
    ("E2", "a second mail without a doubt", _a_second_mail),
    ("E2", "more mails than there were doubts", _more_mails_than_doubts),
    ("E2", "a mail of a job that failed without a doubt", _a_mail_of_a_failed_job),
    ("E2", "a mail of a job that never ran", _a_mail_of_a_job_that_never_ran),
    ("E2", "copies with several ids", _copies_that_differ(message_id=lambda mail: mail.message_id + "x")),
    ("E2", "copies with several contents", _copies_that_differ(content="another")),
    ("E2", "copies to several people", _copies_that_differ(to=["eve@example.com"])),
    (
        "E2",
        "a mail with another id than its Completed records",
        _another_mail(message_id=lambda mail: mail.message_id + "x"),
    ),
    ("E2", "a mail with another text than was asked for", _another_mail(digest="00" * 32)),
    ("E2", "a mail to somebody else than was asked for", _another_mail(to=["eve@example.com"])),
    ("E2", "a mail of no job", _a_mail_of_no_job),
    ("E2", "a mail without an id", _a_mail_without_an_id),
    ("E2", "a mail of a job that is no mail job", _a_mail_of_another_type),
    ("E3", "an execution that begins while another one goes on", _an_overlap),
    ("E3", "an overlap that the lock saw", _an_overlap_that_the_lock_saw),
    ("E3", "an overlap with an execution that never told its end", _an_overlap_with_one_that_never_ended),
    ("E3", "an overlap of two of which none was given up, but a third", _an_overlap_though_another_was_given_up),
    ("E3", "an attempt that was executed twice", _executed_twice),
    ("E3", "an execution of an attempt that never started", _executed_without_a_start),
    ("E3", "a completed job that was never executed", _never_executed),
    ("E3", "a completed job whose execution has no end", _completed_before_its_end),
    ("E3", "a completed job whose execution ended in an error", _completed_though_it_failed),
    ("E3", "an execution of no job", _executed_for_no_job),
]
